"""How Pheye is trained: data, recipe, loss, steps, checkpoints, export."""
