"""Training and fine-tuning of Pheye: data, recipe, loss, optimizer steps, checkpoints, export."""
