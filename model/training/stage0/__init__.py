"""Stage 0 of pheye-tiny: its frozen parts, the eye and the voice, taught from nothing."""
