"""Sequences of screenshots, asked about one after another: what a cache of tiles saves."""
