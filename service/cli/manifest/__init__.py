"""`pheye manifest`: importers that write manifests, and the check of one."""
