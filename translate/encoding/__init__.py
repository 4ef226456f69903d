"""Text to numbers: subwords, encoded shards, batches, augmentation."""
