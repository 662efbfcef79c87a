"""Pixels of pictures: read as upright opaque sRGB, and cut into tiles. Needs no torch."""
