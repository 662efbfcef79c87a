"""Everyday things: their names, their pictures in several styles, and scenes of them."""
