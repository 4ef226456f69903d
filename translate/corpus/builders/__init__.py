"""Builders of corpora: from formulas, packages, labelled text and series."""
