"""Elementwise, the base of layers that apply one function to every element."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from npnet.context import Context
from npnet.errors import MissingMethod
from npnet.layer import Layer
from npnet.ops import elementwise as ops
from npnet.typing import Array


class Elementwise(Layer):
    """Base of activations: y_i = f(x_i), of the input's shape and dtype.

    A subclass writes the two formulas `function` and `gradient`. Large arrays come to them in
    blocks that stay in the processor's cache.

    Attributes
    ----------
    keeps_output : bool
        Class attribute; whether the derivative is a function of the output y, which is then kept
        for it in place of the input x.

    Examples
    --------
    >>> from npnet.elementwise import Elementwise
    >>> class Square(Elementwise):
    ...     def function(self, x, out):
    ...         np.multiply(x, x, out=out)
    ...     def gradient(self, grad, x, out):
    ...         np.multiply(x, 2, out=out)
    ...         out *= grad
    >>> y, tape = Square().record([1.0, 3.0])
    >>> tape.backward([1.0, 1.0], input_grad=True)
    array([2., 6.], dtype=float32)
    """

    keeps_output: ClassVar[bool] = False

    def function(self, x: Array, out: Array) -> Any:
        """Write f(x).

        Parameters
        ----------
        x : ndarray
        out : ndarray, shape and dtype of `x`
            Receives the value; shares no memory with `x`.
        """
        raise MissingMethod("it has no function(self, x, out)", self)

    def gradient(self, grad: Array, kept: Array, out: Array) -> Any:
        """Write grad * f'(x).

        Parameters
        ----------
        grad : ndarray
            The gradient with respect to the output.
        kept : ndarray
            The input x, or the output y with `keeps_output`.
        out : ndarray, shape and dtype of `kept`
            Receives the gradient; shares no memory with the other two.
        """
        raise MissingMethod("it has no gradient(self, grad, kept, out)", self)

    def forward(self, ctx: Context, x: Array) -> Array:
        """Compute y; keep x or y."""
        y: Array = np.empty_like(x)
        for x_part, y_part in ops.blocks(x, y):
            self.function(x_part, y_part)
        ctx.save(y if self.keeps_output else x)
        return y

    def backward(self, ctx: Context, grad: Array) -> Array:
        """Return grad * f'(x)."""
        (kept,) = ctx.saved
        dx: Array = np.empty_like(kept)
        for parts in ops.blocks(grad, kept, dx):
            self.gradient(*parts)
        return dx
