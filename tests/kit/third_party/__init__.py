"""Models whose columns are fields of other packages."""
