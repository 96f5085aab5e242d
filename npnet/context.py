"""Context, what one pass through one layer keeps, and Tape, a whole recorded pass.

A layer never stores activations on itself: whatever the backward pass will need goes into the
context of this very call, so a layer may be called twice before either backward pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from npnet.convert import as_gradient
from npnet.errors import NpnetError, ShapeError, TapeError
from npnet.parameter import Parameter
from npnet.random import default_generator
from npnet.typing import Array, ArrayLike

if TYPE_CHECKING:
    from npnet.layer import Layer


class Context:
    """What one call of one layer keeps between its forward and its backward pass.

    A layer may also set plain facts (a shape, an axis) as attributes of its own.

    Parameters
    ----------
    layer : Layer
        The layer that is called.
    recording : bool
        Whether a backward pass will follow; if not, `save` keeps nothing.
    training : bool
        Whether the layer trains: dropout drops, running statistics move.
    rng : numpy.random.Generator or None
        Where the layer's random numbers come from; None is npnet's default generator.

    Attributes
    ----------
    saved : tuple of ndarray
        What `save` was given.
    calls : list of Context
        The recorded calls of children, in order. A container's backward pass takes them from
        the end, which frees each one's arrays as soon as they are used.
    needs_input_grad : bool
        Whether anybody wants the gradient with respect to the input. A layer that computes it
        nevertheless stays correct.
    """

    __slots__ = ("__dict__", "_rng", "calls", "layer", "needs_input_grad",
                 "recording", "saved", "training")  # fmt: skip

    def __init__(
        self,
        layer: Layer,
        recording: bool,
        training: bool,
        rng: np.random.Generator | None = None,
    ) -> None:
        self.layer = layer
        self.recording = recording
        self.training = training
        self.needs_input_grad = True
        self.saved: tuple[Any, ...] = ()
        self.calls: list[Context] = []
        self._rng = rng

    fuses = True
    """Whether chains may run neighbours as one; a context that watches each layer says no."""

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Tell type checkers that layers set facts of their own."""

        def __setattr__(self, name: str, value: Any) -> None: ...

    @property
    def rng(self) -> np.random.Generator:
        """The generator of this pass."""
        return default_generator() if self._rng is None else self._rng

    def save(self, *arrays: Any) -> None:
        """Keep arrays for the backward pass; without one, keep nothing.

        Parameters
        ----------
        *arrays : ndarray
            They come back, in this order, as `saved`.
        """
        if self.recording:
            self.saved = arrays

    def call(self, layer: Layer, *inputs: Array) -> Any:
        """Run a child layer as part of this pass.

        Parameters
        ----------
        layer : Layer
            The child.
        *inputs : ndarray
            Its inputs.

        Returns
        -------
        ndarray or tuple of ndarray
            Its output. In a recorded pass the call is appended to `calls`.
        """
        child = Context(layer, self.recording, self.training, self._rng)
        output = layer.forward(child, *inputs)
        if output is None:
            raise ShapeError("forward returned None; it must return an array", layer)
        if self.recording:
            self.calls.append(child)
        return output

    def backward(self, *grads: Array, needs_input_grad: bool = True) -> Any:
        """Run the backward pass of the call that this context belongs to.

        Parameters
        ----------
        *grads : ndarray
            One gradient for each output.
        needs_input_grad : bool
            Whether the gradient with respect to the input is wanted.

        Returns
        -------
        ndarray, tuple of ndarray, or None
            One gradient for each input.
        """
        self.needs_input_grad = needs_input_grad
        try:
            return self.layer.backward(self, *grads)
        except NpnetError as error:
            error.layer = error.layer or self.layer
            raise

    add_grad = staticmethod(Parameter.add_grad)
    """``ctx.add_grad(parameter, value)`` adds to a parameter's gradient."""

    add_product = staticmethod(Parameter.add_product)
    """``ctx.add_product(parameter, a, b)`` adds ``a @ b``, without an array in between."""

    def retains(self, array: Array) -> bool:
        """Tell whether this call or one below it saved `array` or a view of the same memory."""
        owner = array if array.base is None else array.base
        for kept in self.saved:
            if kept is owner or getattr(kept, "base", None) is owner:
                return True
        return any(call.retains(array) for call in self.calls)


class Tape:
    """A recorded pass, to be run backward once.

    Made by `Layer.record`.

    Parameters
    ----------
    ctx : Context
        The context of the layer that the user called.
    inputs, outputs : sequence of ndarray
        What went in and what came out.

    Examples
    --------
    >>> import npnet
    >>> layer = npnet.Linear(3, 2)
    >>> y, tape = layer.record(np.ones((4, 3)))
    >>> tape.backward(np.ones((4, 2)), input_grad=True).shape
    (4, 3)
    >>> layer.weight.grad.shape
    (2, 3)
    """

    __slots__ = ("_ctx", "_dtypes", "_outputs")

    def __init__(self, ctx: Context, inputs: Sequence[Array], outputs: Sequence[Array]) -> None:
        self._ctx: Context | None = ctx
        self._dtypes = [x.dtype for x in inputs]
        self._outputs = [(y.shape, y.dtype) for y in outputs]

    def backward(self, *grads: ArrayLike, input_grad: bool = False) -> Any:
        """Fill the parameters' gradients; free what the pass kept.

        Parameters
        ----------
        *grads : array_like
            The gradient with respect to each output, of that output's shape.
        input_grad : bool
            Whether to return the gradient with respect to the input as well. Without it the
            first layer skips a product.

        Returns
        -------
        None, ndarray or tuple
            With ``input_grad=True``, the gradient with respect to the input: a tuple for several
            inputs, None in the place of an integer one.

        Raises
        ------
        TapeError
            If the tape was used before, or the number of gradients is wrong.
        ShapeError
            If a gradient has another shape than its output. The tape can then still be used.
        DtypeError
            If a gradient is not real.
        """
        ctx = self._ctx
        if ctx is None:
            raise TapeError(
                "this tape was already run backward; what it kept is gone. "
                "Record the pass again: y, tape = layer.record(x)"
            )
        if len(grads) != len(self._outputs):
            raise TapeError(
                f"expected {len(self._outputs)} gradient(s), one for each output, got {len(grads)}",
                ctx.layer,
            )
        upstream = []
        for grad, (shape, dtype) in zip(grads, self._outputs, strict=True):
            if type(grad) is not np.ndarray or grad.shape != shape or grad.dtype != dtype:
                grad = as_gradient(grad, shape, dtype, ctx.layer)
            upstream.append(grad)
        self._ctx = None
        try:
            result = ctx.backward(*upstream, needs_input_grad=input_grad)
        except NpnetError as error:
            error.locate(ctx.layer)
            raise
        if not input_grad:
            return None
        results = result if isinstance(result, tuple) else (result,)
        if len(results) != len(self._dtypes):
            raise TapeError(
                f"backward must return {len(self._dtypes)} gradient(s), one for each input, "
                f"it returned {len(results)}",
                ctx.layer,
            )
        found = tuple(
            _in_dtype(g, d, ctx.layer) for g, d in zip(results, self._dtypes, strict=True)
        )
        return found if isinstance(result, tuple) else found[0]


def _in_dtype(grad: Any, dtype: Any, layer: Layer) -> Array | None:
    if grad is None or dtype.kind != "f":
        return None if grad is None else np.asarray(grad)
    if not isinstance(grad, np.ndarray | np.floating):
        raise TapeError(f"backward must return arrays, it returned {type(grad).__name__}", layer)
    return np.asarray(grad, dtype)
