"""Answerers of a batch run: the engine in this process, or a running service over HTTP."""
