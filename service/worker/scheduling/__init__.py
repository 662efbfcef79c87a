"""Scheduling of rows: who waits in what order, what a step may cost, and the plan of the next one."""
