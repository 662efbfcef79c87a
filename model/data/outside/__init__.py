"""Pictures outside the synthetic world: photographs, drawings and textures of which pheye-tiny must say nothing."""
