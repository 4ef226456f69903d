"""Build corpora, train and evaluate networks for all tasks."""
