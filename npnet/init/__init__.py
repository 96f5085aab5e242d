"""Initial values for parameters: pure functions from a shape to a new array.

Names and formulas are PyTorch's, without the trailing underscore, for nothing is filled in place:
``layer.weight.data = npnet.init.xavier_normal(layer.weight.shape)``.
"""

from npnet.init.basic import constant, normal, ones, trunc_normal, uniform, zeros
from npnet.init.fans import calculate_gain, fan_in_and_fan_out
from npnet.init.matrices import dirac, eye, orthogonal, sparse
from npnet.init.scaled import kaiming_normal, kaiming_uniform, xavier_normal, xavier_uniform

__all__ = [
    "uniform",
    "normal",
    "trunc_normal",
    "constant",
    "zeros",
    "ones",
    "eye",
    "dirac",
    "orthogonal",
    "sparse",
    "xavier_uniform",
    "xavier_normal",
    "kaiming_uniform",
    "kaiming_normal",
    "calculate_gain",
    "fan_in_and_fan_out",
]
