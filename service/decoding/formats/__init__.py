"""Image file formats: each file checked, and reduced to what shows the picture, before a reader parses it."""
