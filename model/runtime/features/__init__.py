"""Features of images: encoded tile by tile, cached on the device, kept in a folder for the next process."""
