"""The GPU run, part by part: each part is a process of its own, which may crash or hang without harm to others."""
