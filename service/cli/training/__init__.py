"""The command `pheye train`: the run as a process, its progress bar, its words."""
