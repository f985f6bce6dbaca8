"""The ablations of the TensorMask paper, on any data and budget."""
