"""Decoding of images from clients in killable processes, a pool of which belongs to the API process."""
