"""Checkpoints: where a model's files are, how they are read, and how strictly."""
