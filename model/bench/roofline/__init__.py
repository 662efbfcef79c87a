"""Limits of the machine: its measured peak rates, and the least time that work can take at them."""
