"""Detectors with typed mask tensors, and what it takes to train, evaluate and use them."""
