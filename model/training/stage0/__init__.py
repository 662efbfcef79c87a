"""Stage 0 of pheye-tiny: training of its frozen vision encoder and language model from random weights."""
