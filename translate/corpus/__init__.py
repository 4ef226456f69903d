"""Parallel text on disk: reading, building and checking it."""
