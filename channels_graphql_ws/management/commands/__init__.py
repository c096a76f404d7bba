"""One module for each command (Django)."""
