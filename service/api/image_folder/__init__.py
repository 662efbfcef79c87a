"""Folder of uploaded images that several servers share: one file an image, which is the truth about it."""
