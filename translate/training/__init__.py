"""Training: the loop, optimisers, checkpoints, several processes."""
