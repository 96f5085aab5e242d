"""Gradient checkers side by side: npnet's, PyTorch's, SciPy's and JAX's on the same layers."""
