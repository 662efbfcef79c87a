"""The `pheye` command: words in, values out; the work is done elsewhere."""
