"""What a run on a GPU leaves behind: its files, its tables and goals, its plots."""
