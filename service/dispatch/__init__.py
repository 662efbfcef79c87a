"""Dispatch in the API process: the waiting queue, the worker processes and their supervisors, replay after a death."""
