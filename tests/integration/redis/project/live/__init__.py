"""A Django app with one subscription."""
