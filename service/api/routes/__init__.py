"""The routes, a file for each kind; `service/api/reply.py` makes the answers that need the model."""
