"""The version, read by the build without importing NumPy."""

__version__ = "0.1.0"
