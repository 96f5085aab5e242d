"""Lambda, which makes a layer of a function and its derivative."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from npnet.arguments import function_name
from npnet.context import Context
from npnet.convert import real_array
from npnet.errors import shape_error
from npnet.layer import Layer
from npnet.typing import Array


class Lambda(Layer):
    """Apply a function to every element: y = f(x).

    Parameters
    ----------
    f : callable
        Takes an array, which is read-only, and returns f of each element, in an array of the same
        shape.
    df : callable
        The same for the derivative: the gradient of the input is ``grad * df(x)``.

    Raises
    ------
    ArgumentError
        If `f` or `df` is not callable.
    DtypeError
        In a pass, if one of them returns something else than real numbers.
    ShapeError
        In a pass, if one of them returns another shape.

    References
    ----------
    ``keras.layers.Lambda``, whose function need not be elementwise.

    Examples
    --------
    >>> import numpy as np, npnet
    >>> sine = npnet.Lambda(np.sin, np.cos)
    >>> y, tape = sine.record([0.0, 1.0])
    >>> tape.backward([1.0, 1.0], input_grad=True).round(4)
    array([1.    , 0.5403], dtype=float32)
    """

    def __init__(self, f: Callable[[Array], Any], df: Callable[[Array], Any]) -> None:
        super().__init__()
        function_name(self, "function f", f, "a function of an array", "x")
        function_name(self, "derivative df", df, "a function of an array", "x")
        self.f = f
        self.df = df

    def _of(self, function: Callable[[Array], Any], name: str, x: Array) -> Array:
        """Return a function of x in its dtype, after a check of the shape."""
        x = x.view()
        x.flags.writeable = False  # what was given, or is kept for the backward pass
        y = real_array(function(x), f"result of {name}", self)
        if y.shape != x.shape:
            hint = "it is applied to every element"
            raise shape_error(self, str(x.shape), y.shape, hint, what=f"result of {name}")
        return y.astype(x.dtype, copy=False)

    def forward(self, ctx: Context, x: Array) -> Array:
        """Compute f(x); keep x."""
        ctx.save(x)
        return self._of(self.f, "f", x)

    def backward(self, ctx: Context, grad: Array) -> Array:
        """Return grad * df(x)."""
        (x,) = ctx.saved
        return grad * self._of(self.df, "df", x)
