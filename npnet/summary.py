"""Summary, a table of a model's layers: output shapes, parameters, arithmetic and memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from npnet.context import Context
from npnet.errors import ArgumentError, NpnetError
from npnet.typing import Array

if TYPE_CHECKING:
    from npnet.layer import Layer


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
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = []
        for row in cells:
            text = [c.ljust(w) for c, w in zip(row[:3], widths[:3], strict=True)]
            text += [c.rjust(w) for c, w in zip(row[3:], widths[3:], strict=True)]
            lines.append("  ".join(text))
        rule = "-" * len(lines[0])
        end = (
            f"{self.total:,} parameters; {self.flops:,} FLOP forward; training with Adam holds "
            f"about {self.training_bytes / 1e6:.2f} MB"
        )
        return "\n".join([lines[0], rule, *lines[1:], rule, end])


class _Observer(Context):
    """A context that notes what every child called through it returns and keeps."""

    __slots__ = ("names", "rows", "seen")
    fuses = False

    def __init__(
        self, layer: Layer, names: dict[int, str], rows: list[Row], seen: dict[int, Array]
    ) -> None:
        super().__init__(layer, recording=True, training=True, rng=np.random.default_rng(0))
        self.names = names
        self.rows = rows
        self.seen = seen

    def call(self, layer: Layer, *inputs: Any) -> Any:
        """Run a child and note it."""
        return _Observer(layer, self.names, self.rows, self.seen).run(*inputs)

    def run(self, *inputs: Any) -> Any:
        """Run this context's layer and note it, unless it called others that were noted."""
        before = len(self.rows)
        output = self.layer.forward(self, *inputs)
        for array in self.saved:
            if isinstance(array, np.ndarray):
                owner = array if array.base is None else array.base
                self.seen[id(owner)] = owner
        if len(self.rows) == before:
            several = isinstance(output, tuple)
            shape = tuple(np.shape(y) for y in output) if several else np.shape(output)
            products = self.layer.products(*(np.shape(x) for x in inputs))
            self.rows.append(
                Row(
                    self.names.get(id(self.layer), ""),
                    type(self.layer).__name__,
                    shape,
                    sum(p.size for p in self.layer.parameters()),
                    sum(2 * m * k * n for m, k, n in products),
                )
            )
        return output


def summarize(model: Layer, input_shape: tuple[int, ...]) -> Summary:
    """Run a batch of zeros through a model and tabulate what each layer returns.

    Parameters
    ----------
    model : Layer
    input_shape : tuple of int
        With the batch axis.

    Returns
    -------
    Summary

    Raises
    ------
    ArgumentError
        If `input_shape` is not made of non-negative integers.
    """
    if any(not isinstance(n, int | np.integer) or n < 0 for n in input_shape):
        raise ArgumentError(
            "summary expects the shape of one sample, such as (784,) or (1, 28, 28), "
            f"got {tuple(input_shape[1:])}"
        )
    names = {id(layer): name for name, layer in reversed(list(model.named_layers()))}
    rows: list[Row] = []
    seen: dict[int, Array] = {}
    kind = np.intp if model.takes_integers else np.float32
    buffers = [
        (layer, name, array, array.copy())
        for _, layer in model.named_layers()
        for name, array in layer._buffers.items()
    ]
    try:
        inputs = model._as_inputs((np.zeros(input_shape, kind),))
        _Observer(model, names, rows, seen).run(*inputs)
    except NpnetError as error:
        error.locate(model)
        raise
    finally:  # a training pass may have moved them
        for layer, name, array, before in buffers:
            array[...] = before
            setattr(layer, name, array)
    kept = sum(array.nbytes for array in seen.values())
    itemsize = 4 if model.dtype is None else model.dtype.itemsize
    return Summary(rows, sum(p.size for p in model.parameters()), kept, itemsize)
