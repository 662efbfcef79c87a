"""A data set answered, judged and written down: what `pheye evaluate` runs."""
