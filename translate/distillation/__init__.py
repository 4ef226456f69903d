"""Synthetic training text: sequence-level knowledge distillation and back-translation."""
