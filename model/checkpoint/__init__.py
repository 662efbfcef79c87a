"""A model's files: where they are, how they are read, and how strictly."""
