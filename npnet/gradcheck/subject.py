"""What is checked, in a private copy: its variables, one forward pass, one backward pass.

A subject hides whether a layer or a loss is checked. Its `variables` are live arrays: whoever
writes into them and calls `write_outputs` sees the output at the new point.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from npnet.context import Context
from npnet.errors import ArgumentError
from npnet.gradcheck.attributes import unseal
from npnet.gradcheck.inputs import as_input, as_real, check_count, check_loss_count
from npnet.gradcheck.loss_under_test import call_loss
from npnet.layer import Layer
from npnet.losses.loss import Loss
from npnet.state import buffers, restore_buffers
from npnet.typing import Array, ArrayLike, DtypeLike


class BadResult(Exception):
    """What forward or backward returned is of no use; the message says why."""


class Subject:
    """Base: named variables and the outputs and gradients at their present values.

    Parameters
    ----------
    original : Layer or Loss
        Copied, never touched.
    dtype : dtype
        In which the copy computes.

    Attributes
    ----------
    checked : Layer or Loss
        The copy.
    names : list of str
    variables : list of ndarray, contiguous
        What is differentiated: floating inputs, then parameters.
    output_shapes : tuple of tuple of int
        Known after the first `outputs`.
    several_outputs : bool
        Whether forward returns a tuple.
    refusals : list of Exception
        The last exception that forward raised at a shifted point, if any.
    """

    inputs: tuple[Array, ...]

    def __init__(self, original: Any, dtype: DtypeLike) -> None:
        try:
            self.checked = copy.deepcopy(original)
        except Exception as error:
            raise ArgumentError(
                f"{type(original).__name__} cannot be copied with copy.deepcopy "
                f"({type(error).__name__}: {error}); the check runs on a copy"
            ) from error
        unseal(self.checked)
        self.original = original
        self.dtype = np.dtype(dtype)
        self.names: list[str] = []
        self.variables: list[Array] = []
        self.output_shapes: tuple[tuple[int, ...], ...] = ()
        self.several_outputs = False
        self.refusals: list[Exception] = []

    @property
    def size(self) -> int:
        """Number of elements of all outputs."""
        return sum(int(np.prod(shape)) for shape in self.output_shapes)

    @property
    def batch_size(self) -> int | None:
        """Length of the first axis that all inputs share, if there is one."""
        lengths = {x.shape[0] if x.ndim else None for x in self.inputs}
        return lengths.pop() if len(lengths) == 1 else None

    def run(self) -> Any:
        """Compute the raw output at the variables' present values."""
        raise NotImplementedError

    def gradients(self, upstream: list[Array]) -> list[Array | None]:
        """Run forward and backward.

        Parameters
        ----------
        upstream : list of ndarray
            One for each output; copied.

        Returns
        -------
        list
            One gradient for each variable, None where backward set none.
        """
        raise NotImplementedError

    @contextlib.contextmanager
    def restored(self) -> Iterator[list[Array]]:
        """Put the variables back at the end of the block.

        Yields
        ------
        list of ndarray
            Copies of the variables.
        """
        kept = [v.copy() for v in self.variables]
        try:
            yield kept
        finally:
            for v, k in zip(self.variables, kept, strict=True):
                v[...] = k

    def in_float64(self) -> Subject:
        """Return a subject of the same numbers that computes in float64."""
        raise NotImplementedError

    def in_longdouble(self) -> list[Array]:
        """Compute the outputs from inputs in extended precision; nothing if that cannot be."""
        return []

    def outputs(self) -> list[Array]:
        """Compute the outputs, checked: real arrays, of the shapes of the first call.

        Returns
        -------
        list of ndarray
            Copies.

        Raises
        ------
        BadResult
            If forward returns something else.
        """
        result = self.run()
        several = isinstance(result, tuple)
        if several and not result:
            raise BadResult("forward returned an empty tuple; it must return at least one array")
        found = [_as_output(y) for y in (result if several else (result,))]
        shapes = tuple(y.shape for y in found)
        if self.output_shapes and shapes != self.output_shapes:
            raise BadResult(
                f"forward returned shape {_shapes(shapes)} in a second call on the same input, "
                f"{_shapes(self.output_shapes)} in the first"
            )
        self.output_shapes, self.several_outputs = shapes, several
        return found

    def write_outputs(self, row: Array) -> None:
        """Write all outputs, flattened, into `row`; NaN if forward cannot be computed here.

        Parameters
        ----------
        row : ndarray, shape (size,)
        """
        try:
            result = self.run()
        except Exception as error:  # outside the layer's domain; such a step is passed over
            self.refusals[:] = [error]
            row.fill(np.nan)
            return
        if not self.several_outputs:
            if np.shape(result) != self.output_shapes[0]:
                raise BadResult(_unstable(np.shape(result), self.output_shapes[0]))
            row.reshape(self.output_shapes[0])[...] = result
            return
        start = 0
        for y, shape in zip(result, self.output_shapes, strict=True):
            if np.shape(y) != shape:
                raise BadResult(_unstable(np.shape(y), shape))
            stop = start + int(np.prod(shape))
            row[start:stop].reshape(shape)[...] = y
            start = stop

    def split(self, flat: Array) -> list[Array]:
        """Cut a vector over all outputs into one array for each.

        Parameters
        ----------
        flat : ndarray, shape (size,)

        Returns
        -------
        list of ndarray
            Copies, in the subject's dtype.
        """
        ends = np.cumsum([int(np.prod(shape)) for shape in self.output_shapes])
        parts = np.split(flat, ends[:-1])
        return [
            p.reshape(s).astype(self.dtype) for p, s in zip(parts, self.output_shapes, strict=True)
        ]


class LayerSubject(Subject):
    """A layer, container or model.

    Parameters
    ----------
    layer : Layer
    inputs : sequence of array_like
        Integer arrays are passed on and not differentiated if the layer takes integers.
    dtype : dtype
    training : bool
        Whether the passes train (dropout drops).
    rng : Draws, optional
        What every pass starts with, so that all draw the same numbers.
    """

    checked: Layer

    def __init__(
        self,
        layer: Layer,
        inputs: tuple[ArrayLike, ...],
        dtype: DtypeLike = np.float64,
        training: bool = True,
        rng: Draws | None = None,
    ) -> None:
        super().__init__(layer, dtype)
        check_count(layer, len(inputs))
        self.checked.astype(self.dtype)
        self.checked.zero_grad()
        self.training = training
        arrays = [as_input(self.checked, x, i, len(inputs)) for i, x in enumerate(inputs)]
        self.inputs = tuple(
            x.astype(self.dtype, order="C") if x.dtype.kind == "f" else x.copy() for x in arrays
        )
        for i, x in enumerate(self.inputs):
            if x.dtype.kind == "f":
                self.names.append("input" if len(self.inputs) == 1 else f"input {i}")
                self.variables.append(x)
        self.parameters = dict(self.checked.named_parameters())
        self.names += self.parameters
        self.variables += [p.data for p in self.parameters.values()]
        self._buffers = buffers(self.checked)
        self._rng = Draws() if rng is None else rng
        self._rng_state = self._rng.bit_generator.state
        self.draws = True  # whether forward draws random numbers; assumed until it was seen
        self.copies_inputs = True  # whether every pass is given copies, for a layer that mutates

    def in_float64(self) -> LayerSubject:
        """Return a subject of the same numbers, and the same random draws, in float64."""
        self.run()
        draws = Draws(self._rng.asked)
        twin = LayerSubject(self.checked, self.inputs, np.float64, self.training, draws)
        twin.copies_inputs = self.copies_inputs
        twin.look()
        return twin

    def rewind(self) -> np.random.Generator:
        """Put the generator and the buffers back to where every pass starts.

        Returns
        -------
        numpy.random.Generator
            To be given to the pass.
        """
        if self.draws:
            self._rng.bit_generator.state = self._rng_state
            self._rng.asked = []
        restore_buffers(self.checked, self._buffers)
        return self._rng

    def look(self) -> None:
        """Find out once whether forward draws random numbers: rewinding costs more than a pass."""
        self.draws = True
        self.run()
        self.draws = bool(self._rng.bit_generator.state != self._rng_state)
        self.rewind()

    def run(self) -> Any:
        """Compute the raw output in a recorded pass, so that dropout's masks are the same."""
        ctx = Context(self.checked, recording=True, training=self.training, rng=self.rewind())
        if self.copies_inputs:
            return self.checked.forward(ctx, *[x.copy() for x in self.inputs])
        return self.checked.forward(ctx, *self.inputs)

    def record(
        self, *inputs: Array, rng: np.random.Generator | None = None, copies: bool = True
    ) -> Any:
        """Record a pass from the common starting point.

        Parameters
        ----------
        *inputs : ndarray
        rng : numpy.random.Generator, optional
            Instead of the one that all passes start with.
        copies : bool
            Whether the outputs that backward needs are copied, as `Layer.record` does.

        Returns
        -------
        outputs : tuple of ndarray
        backward : callable
            ``backward(upstream, input_grad)`` runs the pass back and returns raw gradients.
        """
        start = self.rewind()
        ctx = Context(self.checked, recording=True, training=self.training, rng=rng or start)
        result = self.checked.forward(ctx, *inputs)
        outputs = result if isinstance(result, tuple) else (result,)
        outputs = tuple(np.asarray(y) for y in outputs)
        if copies:
            outputs = tuple(y.copy() if ctx.retains(y) else y for y in outputs)

        def backward(upstream: list[Array], input_grad: bool = True) -> Any:
            return ctx.backward(*upstream, needs_input_grad=input_grad)

        return outputs, backward

    def gradients(self, upstream: list[Array]) -> list[Array | None]:
        """Run forward and backward with fresh gradients."""
        self.checked.zero_grad()
        _, backward = self.record(*[x.copy() for x in self.inputs])
        found = self.collect(backward([r.copy() for r in upstream]))
        self.checked.zero_grad()
        return found

    def in_longdouble(self) -> list[Array]:
        """Compute the outputs from inputs in extended precision; nothing if that fails."""
        ctx = Context(self.checked, recording=True, training=self.training, rng=self.rewind())
        finer = [x.astype(np.longdouble) if x.dtype.kind == "f" else x.copy() for x in self.inputs]
        try:
            result = self.checked.forward(ctx, *finer)
        except Exception:  # whatever it is: this forward takes no other dtype
            return []
        return [np.asarray(y) for y in (result if isinstance(result, tuple) else (result,))]

    def collect(self, result: Any) -> list[Array | None]:
        """List what one backward pass gave: gradients of floating inputs, then of parameters.

        Parameters
        ----------
        result : ndarray or tuple
            What backward returned.

        Returns
        -------
        list

        Raises
        ------
        BadResult
            If an input's gradient is missing, no array, or of another shape than the input.
        """
        if isinstance(result, list | dict):
            raise BadResult(f"backward returned a {type(result).__name__}; it must return an array "
                            "or, for several inputs, a tuple of arrays")  # fmt: skip
        grads = result if isinstance(result, tuple) else (result,)
        if len(grads) != len(self.inputs):
            raise BadResult(
                f"backward returned {len(grads)} gradient(s) for {len(self.inputs)} input(s)"
            )
        found: list[Array | None] = []
        for i, (x, grad) in enumerate(zip(self.inputs, grads, strict=True)):
            if x.dtype.kind == "f":
                name = "the input" if len(grads) == 1 else f"input {i}"
                found.append(_as_gradient(grad, x, name))
        for p in self.parameters.values():
            found.append(None if p.grad is None else p.grad.copy())
        return found


class LossSubject(Subject):
    """A loss: its value as a function of the prediction.

    Parameters
    ----------
    loss : Loss
    inputs : sequence
        Prediction, target and, optionally, sample weights.
    dtype : dtype
    """

    checked: Loss

    def __init__(
        self, loss: Loss, inputs: tuple[ArrayLike, ...], dtype: DtypeLike = np.float64
    ) -> None:
        super().__init__(loss, dtype)
        check_loss_count(loss, len(inputs))
        pred = as_real(type(loss).__name__, inputs[0], "the prediction")
        self.names = ["pred"]
        self.variables = [pred.astype(self.dtype, order="C")]
        others = [np.asarray(x) if isinstance(x, list | tuple) else x for x in inputs[1:]]
        self.others = tuple(
            x.astype(self.dtype) if isinstance(x, np.ndarray) and x.dtype.kind == "f" else x
            for x in copy.deepcopy(others)
        )
        self.inputs = (self.variables[0],)

    def in_float64(self) -> LossSubject:
        """Return a subject of the same numbers in float64."""
        return LossSubject(self.checked, (*self.variables, *self.others), np.float64)

    def run(self) -> Any:
        """Compute the reduced loss."""
        return call_loss(self.checked, self.variables[0].copy(), *self.others)

    def gradients(self, upstream: list[Array]) -> list[Array | None]:
        """Ask the loss for its gradient; `upstream` is not used, it is all ones."""
        _, grad = call_loss(self.checked.value_and_grad, self.variables[0].copy(), *self.others)
        return [_as_gradient(grad, self.variables[0], "the prediction")]


def _as_gradient(grad: Any, x: Array, name: str) -> Array:
    if grad is None:
        raise BadResult(f"backward returned None as the gradient of {name}")
    array = np.array(grad)
    if array.dtype.kind not in "fiub":
        raise BadResult(
            f"backward returned dtype {array.dtype} as the gradient of {name}; "
            "expected real numbers"
        )
    if array.shape != x.shape:
        raise BadResult(
            f"backward returned a gradient of shape {array.shape} for {name} of shape {x.shape}"
        )
    return array


def _as_output(y: Any) -> Array:
    if y is None:
        raise BadResult("forward returned None; does it lack a return statement?")
    if isinstance(y, list | tuple | dict):
        raise BadResult(
            f"forward returned a {type(y).__name__}; it must return an array or, for several "
            "outputs, a tuple of arrays"
        )
    array = np.asarray(y)
    if array.dtype.kind == "f":
        return array.copy()
    if array.dtype.kind in "iub":
        raise BadResult(
            f"forward returned integers ({array.dtype}); there is nothing to differentiate"
        )
    raise BadResult(f"forward returned dtype {array.dtype}; it must return real numbers")


def _shapes(shapes: tuple[tuple[int, ...], ...]) -> str:
    return ", ".join(map(str, shapes))


def _unstable(got: tuple[int, ...], first: tuple[int, ...]) -> str:
    return (
        f"forward returned shape {got} for a slightly changed input, {first} before; "
        "a gradient needs an output of a fixed shape"
    )


class Draws(np.random.Generator):
    """A generator that notes the dtypes it is asked for, or draws in those noted before.

    A layer that draws in the dtype of its input gets other numbers in float32 than in float64;
    its float64 copy must get the same. `noted` are the dtypes in which to draw, in turn.
    """

    def __init__(self, noted: Sequence[DtypeLike] = ()) -> None:
        super().__init__(np.random.PCG64(0))
        self.noted = tuple(noted)
        self.asked: list[DtypeLike] = []

    def random(self, size: Any = None, dtype: Any = np.float64, out: Any = None) -> Any:
        """Draw from [0, 1)."""
        return self._draw(super().random, size, dtype, out)

    def standard_normal(self, size: Any = None, dtype: Any = np.float64, out: Any = None) -> Any:
        """Draw from the normal distribution."""
        return self._draw(super().standard_normal, size, dtype, out)

    def _draw(self, draw: Callable[..., Any], size: Any, dtype: Any, out: Any) -> Any:
        used = dict(enumerate(self.noted)).get(len(self.asked), dtype)
        self.asked.append(dtype)
        if out is None:
            return np.dtype(dtype).type(draw(size, used))
        out[...] = draw(out.shape, used)
        return out
