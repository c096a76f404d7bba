"""An optional Django app: broadcasts that are written into the database, and sent from there."""
