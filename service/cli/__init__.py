"""The `pheye` command: it turns words into values and calls the code that does the work."""
