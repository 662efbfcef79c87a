"""One loaded model with its slots and its feature cache: what a worker drives."""
