"""One run on a GPU, part by part: each part a process of its own that may crash or hang without taking others along."""
