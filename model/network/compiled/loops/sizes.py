"""Sizes for which the loops are written. Needs no numba, so that a model can be asked whether it fits."""

CHANNELS = 32  # that a head of the decoder must have, or a multiple of them
HEAD_CHANNELS = 16  # likewise a head of the vision tower
LEAST_TOKENS = 4  # that a tile must have
