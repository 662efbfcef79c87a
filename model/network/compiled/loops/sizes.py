"""Sizes for which the loops are written. Needs no numba, so that a model can be asked whether it fits."""

CHANNELS = 32  # that a head of the decoder must have, or a multiple of them
PANEL = 16  # columns that a loop computes together
ROWS = 4  # likewise rows
HEAD_CHANNELS = PANEL  # that a head of the vision tower must have, or a multiple of them
LEAST_TOKENS = ROWS  # that a tile must have
