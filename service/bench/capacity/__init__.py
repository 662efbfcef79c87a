"""Capacity planning: measured costs, a discrete-event simulation of machines and their proxy, and fleets by size."""
