"""Validation during training: held-out images, the answers about them, and the best weights."""
