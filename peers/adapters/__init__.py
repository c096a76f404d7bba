"""The applications that are tried, one module for each package."""
