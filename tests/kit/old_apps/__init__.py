"""Small applications in the manner of other releases and packages."""
