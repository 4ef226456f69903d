"""Evaluation: metrics, comparison, robustness, reports and plots."""
