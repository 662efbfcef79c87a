"""The commands of `pheye evaluate`: one for each data set, and what looks at their results again."""
