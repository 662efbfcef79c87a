"""The report of a GPU run: its files, tables, goals and plots."""
