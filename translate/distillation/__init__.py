"""Training text that models make: distillation and back-translation."""
