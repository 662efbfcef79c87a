"""Files that a training run leaves behind: journal, snapshots, plots, and models with their records."""
