"""Parallel, labelled and time-series corpora on disk: reading files, cleaning, splitting and writing folders."""
