"""Tape, a whole recorded pass, to be run backward once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from npnet.arguments import flag
from npnet.context import Context, quietly
from npnet.convert import as_gradient
from npnet.errors import NpnetError, TapeError
from npnet.typing import Array, ArrayLike


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

    def __init__(
        self, ctx: Context, inputs: Sequence[Array | None], outputs: Sequence[Array]
    ) -> None:
        self._ctx: Context | None = ctx
        self._dtypes: list[Any] = []
        for x in inputs:  # faster than a comprehension
            self._dtypes.append(x.dtype if isinstance(x, np.ndarray) else None)
        self._outputs: list[Any] = []
        for y in outputs:
            self._outputs.append((y.shape, y.dtype))

    def backward(self, *grads: ArrayLike | None, input_grad: bool | Sequence[bool] = False) -> Any:
        """Fill the parameters' gradients; free what the pass kept.

        Parameters
        ----------
        *grads : array_like or None
            The gradient with respect to each output, of that output's shape. Where there are
            several outputs, None for those that nobody used.
        input_grad : bool or sequence of bool
            Whether to return the gradient with respect to the inputs as well, for all or for
            each. Without it the first layer skips a product.

        Returns
        -------
        None, ndarray or tuple
            With `input_grad`, the gradient with respect to the input: a tuple for several
            inputs, None for one that is None, sparse or of integers, or was not asked for.

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
        upstream: Sequence[Any] = grads
        first, (shape, dtype) = grads[0] if grads else None, self._outputs[0]
        if (
            len(grads) != 1
            or len(self._outputs) != 1
            or type(first) is not np.ndarray
            or first.shape != shape
            or first.dtype != dtype
        ):
            upstream = self._upstream(ctx.layer, grads)
        wants = input_grad
        if wants is not False:
            wants = self._wants(ctx.layer, input_grad)
        self._ctx = None
        try:
            result = quietly(ctx.backward, *upstream, needs_input_grad=wants)
        except NpnetError as error:
            error.locate(ctx.layer)
            raise
        return None if wants is False else self._input_grads(ctx.layer, result, wants)

    def _upstream(self, layer: Any, grads: tuple[ArrayLike | None, ...]) -> list[Array | None]:
        """Check the gradients of the outputs."""
        if len(grads) != len(self._outputs):
            raise TapeError(
                f"expected {len(self._outputs)} gradient(s), one for each output, got {len(grads)}",
                layer,
            )
        upstream: list[Any] = []
        for grad, (shape, dtype) in zip(grads, self._outputs, strict=True):
            if type(grad) is not np.ndarray or grad.shape != shape or grad.dtype != dtype:
                grad = None if grad is None else as_gradient(grad, shape, dtype, layer)
            upstream.append(grad)
        if upstream[0] is None and all(grad is None for grad in upstream):
            raise TapeError("expected the gradient of an output, got None", layer)
        return upstream

    def _wants(self, layer: Any, input_grad: Any) -> tuple[bool, ...]:
        """Return which inputs get a gradient: of those asked for the floating ones."""
        count = len(self._dtypes)
        several = isinstance(input_grad, tuple | list)
        asked = list(input_grad) if several else [input_grad] * count
        if len(asked) != count:
            raise TapeError(f"input_grad has {len(asked)} entries for {count} inputs", layer)
        return tuple(
            flag("backward", "input_grad", ask) and dtype is not None and dtype.kind == "f"
            for ask, dtype in zip(asked, self._dtypes, strict=True)
        )

    def _input_grads(self, layer: Any, result: Any, wants: Sequence[bool]) -> Any:
        """Check what the layer returned."""
        results = list(result) if isinstance(result, tuple) else [result]
        while len(results) > len(wants) and results[-1] is None:  # of inputs that were left out
            results.pop()
        while len(results) < len(wants) and self._dtypes[len(results)] is None:
            results.append(None)
        if len(results) != len(wants):
            raise TapeError(
                f"backward must return {len(wants)} gradient(s), one for each input, "
                f"it returned {len(results)}",
                layer,
            )
        triples = zip(results, self._dtypes, wants, strict=True)
        found = tuple(_in_dtype(g, d, layer) if want else None for g, d, want in triples)
        return found[0] if len(wants) == 1 else found


def _in_dtype(grad: Any, dtype: Any, layer: Any) -> Array:
    if not isinstance(grad, np.ndarray | np.floating):
        raise TapeError(f"backward must return arrays, it returned {type(grad).__name__}", layer)
    return np.asarray(grad, dtype)
