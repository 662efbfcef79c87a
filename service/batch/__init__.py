"""Batch runs behind `pheye caption`, `ask` and `evaluate`: many images, answered by an engine here or by a service."""
