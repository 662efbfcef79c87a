"""Sampling: the next token of each row, on the host row by row, or on the device for all rows together.

Both draw the same token for the same logits, seed and position.
"""
