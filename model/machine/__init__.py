"""The machine as a process finds it: cores, memory, the processor and what control groups leave. Needs no torch."""
