"""A layer of one's own: written, checked, trained.

python examples/custom_layer.py
"""
