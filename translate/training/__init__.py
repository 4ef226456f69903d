"""Training: the loop, optimizers, checkpoints and several processes."""
