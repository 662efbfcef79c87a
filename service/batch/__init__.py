"""A folder of images answered by one command, by an engine in this process or by a running service."""
