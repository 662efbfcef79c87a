"""Endings of the names of image files, by which folders are searched for images. Data alone."""

from __future__ import annotations

# Every usual ending of a format that is read. HEIC is among them even where its extra is not installed: an image that
# fails says why, and one that is passed over says nothing.
IMAGE_SUFFIXES = frozenset({
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".gif", ".bmp", ".dib", ".tif", ".tiff", ".avif",
    ".avifs", ".heic", ".heics", ".heif", ".heifs", ".hif", ".mpo",
})  # fmt: skip
