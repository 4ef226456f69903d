"""The tasks that a network learns: translation, classification, tagging, forecasting."""
