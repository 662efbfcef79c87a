"""The commands of `pheye evaluate`: one for each data set, and some that read finished results again."""
