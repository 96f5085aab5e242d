"""Activations made of straight pieces.

On a kink the derivative is that of the side which PyTorch takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from npnet.arguments import real_number
from npnet.elementwise import Elementwise
from npnet.ops import activation
from npnet.ops import elementwise as ops
from npnet.typing import Array


class Hardtanh(Elementwise):
    """Clip: y = min(max(x, min_val), max_val). The derivative at the limits is 0.

    Parameters
    ----------
    min_val, max_val : float
        The limits.

    Raises
    ------
    ArgumentError
        If `min_val` is not below `max_val`.

    References
    ----------
    ``torch.nn.Hardtanh``.

    Examples
    --------
    >>> import npnet
    >>> npnet.Hardtanh()([-1.5, 0.5, 2.0])
    array([-1. ,  0.5,  1. ], dtype=float32)
    """

    keeps_output = True

    habits: ClassVar[Mapping[str, str]] = {
        "min_value": "it is min_val", "max_value": "it is max_val",
    }  # fmt: skip

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0) -> None:
        super().__init__()
        self.max_val = real_number(self, "max_val", max_val)
        self.min_val = real_number(self, "min_val", min_val, below=self.max_val)

    def function(self, x: Array, out: Array) -> None:
        """Write min(max(x, min_val), max_val)."""
        np.clip(x, self.min_val, self.max_val, out=out)

    def gradient(self, grad: Array, y: Array, out: Array) -> None:
        """Write grad where min_val < y < max_val, else 0."""
        activation.clip_grad(grad, y, self.min_val, self.max_val, out)


class ReLU6(Hardtanh):
    """Rectifier with a limit: y = min(max(x, 0), 6). The derivative at 0 and 6 is 0.

    References
    ----------
    Krizhevsky, "Convolutional deep belief networks on CIFAR-10", 2010; ``torch.nn.ReLU6``.

    Examples
    --------
    >>> import npnet
    >>> npnet.ReLU6()([-1.0, 2.0, 7.0])
    array([0., 2., 6.], dtype=float32)
    """

    def __init__(self) -> None:
        super().__init__(0.0, 6.0)


class Hardsigmoid(Elementwise):
    """Sigmoid of straight pieces: y = min(max(x + 3, 0), 6) / 6.

    The derivative at -3 and 3, and for NaN, is 0. In float64 it is more exact than PyTorch's, which
    has 1/6 in single precision.

    References
    ----------
    Howard et al., "Searching for MobileNetV3", arXiv:1905.02244; ``torch.nn.Hardsigmoid``.

    Examples
    --------
    >>> import npnet
    >>> npnet.Hardsigmoid()([-4.0, 0.0, 1.5])
    array([0.  , 0.5 , 0.75], dtype=float32)
    """

    def function(self, x: Array, out: Array) -> None:
        """Write min(max(x + 3, 0), 6) / 6."""
        np.add(x, 3, out=out)
        np.clip(out, 0, 6, out=out)
        out *= 1 / 6

    def gradient(self, grad: Array, x: Array, out: Array) -> None:
        """Write grad / 6 where |x| < 3, else 0."""
        ops.keep_where(np.abs(x, out=out) < 3, grad, out)
        out *= 1 / 6


class Hardswish(Elementwise):
    """SiLU of straight and parabolic pieces: y = x * min(max(x + 3, 0), 6) / 6.

    The derivative at -3 is 0, at 3 it is 1.

    References
    ----------
    Howard et al., "Searching for MobileNetV3", arXiv:1905.02244; ``torch.nn.Hardswish``.

    Examples
    --------
    >>> import npnet
    >>> npnet.Hardswish()([-1.0, 0.0, 4.0]).round(4)
    array([-0.3333,  0.    ,  4.    ], dtype=float32)
    """

    def function(self, x: Array, out: Array) -> None:
        """Write x * min(max(x + 3, 0), 6) / 6."""
        activation.hardswish(x, out)

    def gradient(self, grad: Array, x: Array, out: Array) -> None:
        """Write grad * (x / 3 + 1 / 2) where |x| < 3, 0 below and grad above."""
        activation.hardswish_grad(grad, x, out)


class _Shrink(Elementwise):
    """Set to 0 what is not beyond `lambd`, on either side."""

    keeps_output = True

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = real_number(self, "lambd", lambd, 0)

    def gradient(self, grad: Array, y: Array, out: Array) -> None:
        """Write grad where y is not 0, else 0."""
        ops.keep_where(y != 0, grad, out)


class Hardshrink(_Shrink):
    """Hard threshold on both sides: y = x where |x| > lambd, else 0.

    Parameters
    ----------
    lambd : float
        What is not further from 0 than this becomes 0.

    Raises
    ------
    ArgumentError
        If `lambd` is negative.

    References
    ----------
    Donoho, Johnstone, "Ideal spatial adaptation by wavelet shrinkage", Biometrika 81, 1994;
    ``torch.nn.Hardshrink``.

    Examples
    --------
    >>> import npnet
    >>> npnet.Hardshrink()([-1.0, 0.5, 2.0])
    array([-1.,  0.,  2.], dtype=float32)
    """

    def function(self, x: Array, out: Array) -> None:
        """Write x where |x| > lambd, else 0."""
        off = np.abs(x, out=out) <= self.lambd
        ops.keep_where(~off, x, out)


class Softshrink(_Shrink):
    """Soft threshold on both sides: y = x - lambd, 0 or x + lambd, above, within and below.

    Parameters
    ----------
    lambd : float
        How much is taken off; what is not further from 0 than this becomes 0.

    Raises
    ------
    ArgumentError
        If `lambd` is negative.

    References
    ----------
    Donoho, "De-noising by soft-thresholding", IEEE Transactions on Information Theory 41, 1995;
    ``torch.nn.Softshrink``.

    Examples
    --------
    >>> import npnet
    >>> npnet.Softshrink()([-1.0, 0.5, 2.0])
    array([-0.5,  0. ,  1.5], dtype=float32)
    """

    def function(self, x: Array, out: Array) -> None:
        """Write x - min(max(x, -lambd), lambd)."""
        np.clip(x, -self.lambd, self.lambd, out=out)
        np.subtract(x, out, out=out)


class Threshold(Elementwise):
    """Replace what is not above a threshold: y = x where x > threshold, else value.

    Parameters
    ----------
    threshold : float
        What is not above this is replaced.
    value : float
        What it is replaced by.

    References
    ----------
    ``torch.nn.Threshold``.

    Examples
    --------
    >>> import npnet
    >>> npnet.Threshold(0.1, 20.0)([-1.0, 0.1, 2.0])
    array([20., 20.,  2.], dtype=float32)
    """

    def __init__(self, threshold: float, value: float) -> None:
        super().__init__()
        self.threshold = real_number(self, "threshold", threshold)
        self.value = real_number(self, "value", value)

    def function(self, x: Array, out: Array) -> None:
        """Write x where x > threshold, else value."""
        off = x <= self.threshold
        ops.keep_where(~off, x, out)
        if self.value != 0:
            out += ops.choose(off, self.value, 0.0, np.empty_like(x))

    def gradient(self, grad: Array, x: Array, out: Array) -> None:
        """Write grad where x > threshold, else 0."""
        ops.keep_where(~(x <= self.threshold), grad, out)
