"""Builders of corpora. Each returns the splits of a corpus and its card, or writes its folder."""
