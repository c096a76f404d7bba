"""Models of every kind that a payload may hold."""
