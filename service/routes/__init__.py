"""The routes, a file for each kind; `reply.py` makes the answers that need the model."""
