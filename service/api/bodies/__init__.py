"""Request bodies: JSON, forms or an image, read strictly into one kind of checked request."""
