"""Side-by-side measurements of npnet and its alternatives: ``python -m benchmarks``."""
