"""Runtime of one loaded model with its slots and its feature cache, which a worker drives."""
