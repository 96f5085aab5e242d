"""Recurrent, the base of RNN, LSTM, GRU and their cells: weights, layers, directions, lengths."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from npnet.arguments import flag, float_dtype, real_number, refusal, whole_number
from npnet.context import Context
from npnet.errors import DtypeError, shape_error
from npnet.init import uniform
from npnet.layer import Layer
from npnet.ops import elementwise
from npnet.ops import recurrent as ops
from npnet.ops.warn import warn_once
from npnet.parameter import Parameter
from npnet.random import as_generator
from npnet.typing import Array, DtypeLike, Rng

_STATES = "initial states are inputs of the call: layer(x, h0), of an LSTM layer(x, h0, c0)"


class Recurrent(Layer):
    """Base of recurrent layers: the weights of one direction, the checks, the gradients.

    Parameters
    ----------
    input_size, hidden_size, bias
        As for `npnet.GRU`.
    """

    mode = "GRU"
    _shows_defaults = False
    habits: ClassVar = {
        "hx": _STATES, "proj_size": "only LSTM has a projection",
        "return_sequences": "all steps are the first output, the last state is the second",
        "flatten_parameters": "weights need no call that gathers them",
    }  # fmt: skip

    def __init__(self, input_size: int, hidden_size: int, bias: bool) -> None:
        super().__init__()
        self.input_size = whole_number(self, "input_size", input_size, 1)
        self.hidden_size = whole_number(self, "hidden_size", hidden_size, 1)
        self.bias = flag(self, "bias", bias)

    def add_weights(
        self, end: str, inputs: int, size: int, dtype: DtypeLike, rng: np.random.Generator
    ) -> None:
        """Make the parameters of one direction, whose names have an end, for states of a size."""
        dtype, hidden = float_dtype(self, "dtype", dtype), self.hidden_size
        width, k = ops.GATES[self.mode] * hidden, 1 / math.sqrt(hidden)
        shapes: dict[str, tuple[int, ...]] = {
            "weight_ih": (width, inputs), "weight_hh": (width, size),
        }  # fmt: skip
        if self.bias:
            shapes |= {"bias_ih": (width,), "bias_hh": (width,)}
        if size != hidden:
            shapes["weight_hr"] = (size, hidden)
        for name, shape in shapes.items():
            values = uniform(shape, -k, k, rng=rng, dtype=dtype)
            setattr(self, name + end, Parameter(values))

    def weights(self, end: str) -> ops.Weights:
        """Return the weights of one direction."""
        found = (self._parameters.get(name + end) for name in _NAMES.values())
        return ops.Weights(*(None if p is None else p.data for p in found))  # type: ignore[arg-type]

    def add_grads(
        self, ctx: Context, end: str, run: ops.Run, grads: ops.Grads, x: Array | None
    ) -> None:
        """Add to the gradients of the weights of one direction."""
        for name, attribute in _NAMES.items():
            p = self._parameters.get(attribute + end)
            if p is not None and p.requires_grad:
                ctx.add_grad(p, ops.weight_grad(name, run, grads, x))

    def initial(self, state: Array, name: str, shape: tuple[int, ...]) -> Array:
        """Return an initial state after a check of its shape."""
        if state.shape != shape:
            raise shape_error(self, str(shape), state.shape, what=name)
        return state.astype(self.dtype, copy=False)


_NAMES = {
    "ih": "weight_ih", "hh": "weight_hh", "b_ih": "bias_ih", "b_hh": "bias_hh", "hr": "weight_hr",
}  # fmt: skip
"""The parameters of one direction by the names of `ops.Weights`."""


class RecurrentCell(Recurrent):
    """Base of the cells, which make one step of one layer.

    Parameters
    ----------
    input_size, hidden_size, bias
        As for `npnet.GRUCell`.
    dtype : dtype
    rng : numpy.random.Generator or int, optional
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        *,
        dtype: DtypeLike = np.float32,
        rng: Rng = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias)
        self.add_weights("", self.input_size, self.hidden_size, dtype, as_generator(rng))

    def through(self, ctx: Context, x: Array, *states: Array | None) -> tuple[Array, ...]:
        """Make a step; keep what it computed, and its input."""
        if x.ndim not in (1, 2) or x.shape[-1] != self.input_size:
            raise shape_error(self, f"(N, {self.input_size}), or ({self.input_size},)", x.shape)
        shape = (*x.shape[:-1], self.hidden_size)
        named = zip((*states, None)[:2], "hc", strict=True)
        h, c = (
            a if a is None else self.initial(a, n, shape).reshape(-1, shape[-1]) for a, n in named
        )
        rows = x.astype(self.dtype, copy=False).reshape(1, -1, self.input_size)
        run = ops.forward(self.mode, rows, h, c, self.weights(""))
        trains = self._parameters["weight_ih"].requires_grad
        ctx.save(rows if trains else None, run)
        ctx.given = [a is not None for a in states]
        return tuple(end.reshape(shape) for end in run.ends)

    def back(self, ctx: Context, dh: Array | None, dc: Array | None = None) -> Any:
        """Run the step in reverse; return the gradients of x and the states."""
        (x, run), w, n = ctx.saved, self.weights(""), self.hidden_size
        single = (dh if dh is not None else dc).ndim == 1  # type: ignore[union-attr]
        dh, dc = (None if a is None else a.reshape(-1, n) for a in (dh, dc))
        grads = ops.backward(run, w, None, dh, dc)
        self.add_grads(ctx, "", run, grads, x)
        dx = ops.input_grad(run, w)[0] if ctx.needs_grad(0) else None
        starts = (g if given else None for g, given in zip(grads[:2], ctx.given, strict=False))
        found = [a[0] if single and a is not None else a for a in (dx, *starts)]
        return tuple(found) if any(ctx.given) else found[0]


class RecurrentStack(Recurrent):
    """Base of RNN, LSTM and GRU: layers, each reading the states of the one below.

    Parameters
    ----------
    input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional
        As for `npnet.GRU`.
    dtype : dtype
    rng : numpy.random.Generator or int, optional
    proj_size : int
        As for `npnet.LSTM`.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int,
        bias: bool,
        batch_first: bool,
        dropout: float,
        bidirectional: bool,
        dtype: DtypeLike,
        rng: Rng,
        proj_size: int = 0,
    ) -> None:
        super().__init__(input_size, hidden_size, bias)
        self._size = proj_size or self.hidden_size
        self._states = (("h0", self._size), ("c0", self.hidden_size))[: 1 + (self.mode == "LSTM")]
        self.num_layers = whole_number(self, "num_layers", num_layers, 1)
        self.batch_first = flag(self, "batch_first", batch_first)
        self.dropout = real_number(self, "dropout", dropout, 0, 1)
        self.bidirectional = flag(self, "bidirectional", bidirectional)
        if self.dropout and self.num_layers == 1:
            name = type(self).__name__
            warn_once(f"dropout of a {name} is between its layers: with one it drops nothing")
        generator = as_generator(rng)
        for layer, ends in enumerate(self._ends()):
            inputs = len(ends) * self._size if layer else self.input_size
            for end in ends:
                self.add_weights(end, inputs, self._size, dtype, generator)

    def _ends(self) -> list[list[str]]:
        """Return for each layer how the names of the parameters of its directions end."""
        directions = ["", "_reverse"][: 1 + self.bidirectional]
        return [[f"_l{k}{direction}" for direction in directions] for k in range(self.num_layers)]

    def matmul_shapes(self, *shapes: tuple[int, ...]) -> list[tuple[int, int, int]]:
        """Return those of a forward pass: one for the inputs of all steps, one for each state."""
        *axes, _ = shapes[0]
        steps = axes[self.batch_first and len(axes) == 2]
        found: list[tuple[int, int, int]] = []
        for name, p in self.named_parameters():
            if len(p.shape) == 2:
                times = 1 if "_ih_" in name else steps
                found += times * [(math.prod(axes) // max(times, 1), *p.shape[::-1])]
        return found

    def through(
        self, ctx: Context, x: Array, starts: Sequence[Array | None], lengths: Array | None
    ) -> tuple[Array, ...]:
        """Run all layers; keep their inputs, the masks of dropout, and what the steps computed."""
        batch = ctx.batch = _Batch(self, x, lengths)
        ctx.given = [a is not None for a in (*starts, lengths)]
        count = self.num_layers * (1 + self.bidirectional)
        firsts = [
            [None] * count
            if a is None
            else batch.states(self.initial(a, name, batch.of_states(count, size)))
            for a, (name, size) in zip(starts, self._states, strict=True)
        ]
        y, kept, ends = batch.steps(x.astype(self.dtype, copy=False)), list[Any](), list[Any]()
        for directions in self._ends():
            mask = None
            if kept and self.dropout and ctx.training:
                y, mask = self._drop(ctx, y)
            runs = []
            for reverse, end in enumerate(directions):
                h, c = [*(a[len(ends)] for a in firsts), None][:2]
                w = self.weights(end)
                runs.append(ops.forward(self.mode, y, h, c, w, batch.lengths, bool(reverse)))
                ends.append(runs[-1].ends)
            trains = any(self._parameters["weight_ih" + end].requires_grad for end in directions)
            kept.append((y if trains else None, mask, runs))
            y = runs[0].y if len(runs) == 1 else np.concatenate([run.y for run in runs], axis=2)
        ctx.save(*kept)
        finals = (batch.states_back(np.stack(a)) for a in zip(*ends, strict=True))
        return batch.steps_back(y), *finals

    def _drop(self, ctx: Context, x: Array) -> tuple[Array, Array]:
        """Return the input of a layer after dropout, and the mask."""
        scale = 0.0 if self.dropout == 1 else 1 / (1 - self.dropout)
        mask = ctx.rng.random(x.shape, np.float32 if x.dtype == np.float32 else np.float64)
        return elementwise.dropout(x, mask, self.dropout, scale, np.empty_like(x)), mask

    def back(
        self, ctx: Context, dy: Array | None, *dends: Array | None
    ) -> Array | tuple[Array | None, ...] | None:
        """Run all layers in reverse; return the gradients of the inputs that were given."""
        batch, size, given = ctx.batch, self._size, ctx.given
        dy = None if dy is None else batch.steps(dy)
        lasts = [None if a is None else batch.states(a) for a in dends]
        starts: list[ops.Grads] = []
        for k in reversed(range(self.num_layers)):
            (x, mask, runs), dx = ctx.saved[k], None
            for d, end in reversed(list(enumerate(self._ends()[k]))):
                part = dy if dy is None or len(runs) == 1 else dy[..., d * size : (d + 1) * size]
                dh, dc = [*(None if a is None else a[k * len(runs) + d] for a in lasts), None][:2]
                w, up = self.weights(end), None if part is None else np.ascontiguousarray(part)
                grads = ops.backward(runs[d], w, up, dh, dc)
                starts.insert(0, grads)
                self.add_grads(ctx, end, runs[d], grads, x)
                if k or ctx.needs_grad(0):
                    one = ops.input_grad(runs[d], w)
                    dx = one if dx is None else np.add(dx, one, out=dx)
            dy = dx if mask is None or dx is None else np.multiply(dx, mask, out=dx)
        first = None if dy is None or not ctx.needs_grad(0) else batch.steps_back(dy)
        of_states = (np.stack(a) for a in zip(*(g[: len(dends)] for g in starts), strict=True))
        pairs = zip(of_states, given, strict=False)
        found = [first, *(batch.states_back(a) if wanted else None for a, wanted in pairs), None]
        while len(found) > 1 and not given[len(found) - 2]:
            found.pop()
        return tuple(found) if len(found) > 1 else first


class _Batch:
    """How the sequences of a call lie, and what brings them into the order of `ops`, and back.

    There the steps come first, and the sequences, where they have lengths, longest first.
    """

    def __init__(self, layer: RecurrentStack, x: Array, lengths: Array | None) -> None:
        if x.ndim not in (2, 3) or x.shape[-1] != layer.input_size:
            axes, n = "N, T" if layer.batch_first else "T, N", layer.input_size
            raise shape_error(layer, f"({axes}, {n}), or (T, {n}) of one sequence", x.shape)
        self.single, self.batch_first = x.ndim == 2, layer.batch_first
        count = len(x) if self.single else x.shape[layer.batch_first]
        self.rows = None if self.single else x.shape[not layer.batch_first]
        self.lengths = self.order = self.back = None
        if lengths is None:
            return
        if lengths.dtype.kind not in "iu":
            raise DtypeError(f"expected integers as lengths, got {lengths.dtype}", layer)
        if lengths.shape != (x.shape[:0] if self.single else (self.rows,)):
            expected = "()" if self.single else f"({self.rows},)"
            raise shape_error(layer, expected, lengths.shape, what="lengths")
        if ((lengths < 0) | (lengths > count)).any():
            kind = f"numbers of steps from 0 to {count}"
            raise refusal(layer, "lengths", kind, lengths.tolist())
        lengths = lengths.reshape(-1).astype(np.intp)
        self.order = np.argsort(-lengths, kind="stable")
        self.back, self.lengths = np.argsort(self.order), lengths[self.order]
        self.over = np.arange(count)[:, np.newaxis] >= self.lengths

    def of_states(self, count: int, size: int) -> tuple[int, ...]:
        """Return the shape of states."""
        return (count, size) if self.rows is None else (count, self.rows, size)

    def steps(self, x: Array) -> Array:
        """Return an array of all steps as (T, n, size), 0 behind the ends."""
        if self.single:
            x = x[:, np.newaxis]
        elif self.batch_first:
            x = x.transpose(1, 0, 2)
        if self.order is None:
            return np.ascontiguousarray(x)
        x = x[:, self.order]
        x[self.over] = 0
        return x

    def steps_back(self, y: Array) -> Array:
        """Return what `steps` made of an array."""
        y = y if self.back is None else y[:, self.back]
        if self.single:
            return y[:, 0]
        return y.transpose(1, 0, 2) if self.batch_first else y

    def states(self, h: Array) -> Array:
        """Return states as (count, n, size)."""
        h = h[:, np.newaxis] if self.single else h
        return h if self.order is None else h[:, self.order]

    def states_back(self, h: Array) -> Array:
        """Return what `states` made of an array."""
        h = h if self.back is None else h[:, self.back]
        return h[:, 0] if self.single else h
