"""Layers that are right and hard to check, and layers with one planted bug each."""
