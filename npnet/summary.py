"""Summary, a table of a model's layers: output shapes, parameters, arithmetic and memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from npnet.arguments import refusal, shape, whole_number
from npnet.context import Context
from npnet.layer import Layer
from npnet.typing import Array


class Row(NamedTuple):
    """One call of one layer; ``flops`` are those of its matrix products in a forward pass."""

    name: str
    kind: str
    output_shape: Any
    parameters: int
    flops: int


class Summary:
    """A model's layers in the order of their calls.

    Parameters
    ----------
    rows : list of Row
        One for each call of a layer that calls no other.
    total : int
        Number of elements of all parameters, each counted once.
    kept : int
        Bytes that a recorded pass keeps for its backward pass.
    itemsize : int
        Bytes of one parameter element.

    Attributes
    ----------
    flops : int
        Floating-point operations of the matrix products in a forward pass; a training step has
        about three times as many.
    training_bytes : int
        Parameters, gradients, two vectors of optimizer state (as Adam has) and what is kept.
    """

    def __init__(self, rows: list[Row], total: int, kept: int, itemsize: int) -> None:
        self.rows = rows
        self.total = total
        self.kept = kept
        self.flops = sum(row.flops for row in rows)
        self.training_bytes = 4 * total * itemsize + kept

    def __repr__(self) -> str:
        cells = [("layer", "kind", "output shape", "parameters", "FLOP")]
        cells += [
            (r.name, r.kind, str(r.output_shape), f"{r.parameters:,}", f"{r.flops:,}")
            for r in self.rows
        ]
        end = (
            f"{self.total:,} parameters; {self.flops:,} FLOP forward; training with Adam holds "
            f"about {self.training_bytes / 1e6:.2f} MB"
        )
        return table(cells, 3, end)


def table(rows: Sequence[tuple[str, ...]], left: int, end: str) -> str:
    """Return rows in columns, the first `left` of them flush left, between a head and an end."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    rule = "-" * len(lines[0])
    return "\n".join([lines[0], rule, *lines[1:], rule, end])


class _Observer(Context):
    """A context that notes what every layer called through it returns and keeps."""

    __slots__ = ("names", "rows", "seen")
    fuses = False

    def __init__(
        self,
        layer: Layer,
        training: bool,
        names: dict[int, str],
        rows: list[Row],
        seen: dict[int, Array],
    ) -> None:
        super().__init__(layer, recording=True, training=training, rng=np.random.default_rng(0))
        self.names = names
        self.rows = rows
        self.seen = seen

    def child(self, layer: Layer) -> _Observer:
        """Return a context that notes into the same lists."""
        return _Observer(layer, self.training, self.names, self.rows, self.seen)

    def run(self, *inputs: Any) -> Any:
        """Run this context's layer and note it, unless it called others that were noted."""
        before = len(self.rows)
        output = super().run(*inputs)
        for array in self.saved:
            if isinstance(array, np.ndarray):
                owner = array if array.base is None else array.base
                self.seen[id(owner)] = owner
        if len(self.rows) == before:
            several = isinstance(output, tuple)
            returned = tuple(np.shape(y) for y in output) if several else np.shape(output)
            matmuls = self.layer.matmul_shapes(*(np.shape(x) for x in inputs))
            self.rows.append(
                Row(
                    self.names.get(id(self.layer), ""),
                    type(self.layer).__name__,
                    returned,
                    sum(p.size for p in self.layer.parameters()),
                    sum(2 * m * k * n for m, k, n in matmuls),
                )
            )
        return output


def summarize(model: Layer, input_shape: Any, batch_size: int = 1) -> Summary:
    """Run a batch of zeros through a model and tabulate what each layer returns.

    Parameters
    ----------
    model : Layer
    input_shape : tuple of int, or list of them
        Of one sample; a list has one for each input.
    batch_size : int
        One sample runs in evaluation mode, because batch normalisation cannot train on it.

    Returns
    -------
    Summary

    Raises
    ------
    ArgumentError
        If `input_shape` is not made of non-negative integers.
    """
    batch_size = whole_number("summary", "batch_size", batch_size, 0)
    if not isinstance(input_shape, list | tuple):
        kind = "the shape of one sample, such as (784,)"
        raise refusal("summary", "input_shape", kind, input_shape)
    several = any(isinstance(one, list | tuple) for one in input_shape)
    given = input_shape if several else [input_shape]
    shapes = [shape("summary", "input_shape", one) for one in given]
    inputs = [
        np.zeros((batch_size, *one), np.intp if whole else np.float32)
        for one, whole in zip(shapes, model._integers(len(shapes)), strict=True)
    ]
    names = {id(layer): name for name, layer in reversed(list(model.named_layers()))}
    rows: list[Row] = []
    seen: dict[int, Array] = {}
    before = model.state_dict()
    try:
        observer = _Observer(model, batch_size != 1, names, rows, seen)
        observer.run_as_root(*model._as_inputs(tuple(inputs)))
    finally:
        model.load_state_dict(before)  # which a training pass may have changed
    kept = sum(array.nbytes for array in seen.values())
    itemsize = 4 if model.dtype is None else model.dtype.itemsize
    return Summary(rows, sum(p.size for p in model.parameters()), kept, itemsize)
