"""Models on disk."""

from npnet.io.weights import load_weights, save_weights

__all__ = ["save_weights", "load_weights"]
