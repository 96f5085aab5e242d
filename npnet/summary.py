"""Summary, a table of a model's layers with their output shapes and parameter counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from npnet.context import Context
from npnet.errors import ArgumentError, NpnetError

if TYPE_CHECKING:
    from npnet.layer import Layer


class Row(NamedTuple):
    """One call of one layer."""

    name: str
    kind: str
    output_shape: tuple[int, ...] | tuple[tuple[int, ...], ...]
    parameters: int


class Summary:
    """A model's layers in the order of their calls.

    Parameters
    ----------
    rows : list of Row
        One for each call of a layer that has no layers of its own.
    total : int
        Number of elements of all parameters, each counted once.
    """

    def __init__(self, rows: list[Row], total: int) -> None:
        self.rows = rows
        self.total = total

    def __repr__(self) -> str:
        cells = [("layer", "kind", "output shape", "parameters")]
        cells += [(r.name, r.kind, str(r.output_shape), f"{r.parameters:,}") for r in self.rows]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = [
            "  ".join((*(c.ljust(w) for c, w in zip(row[:3], widths, strict=False)),
                       row[3].rjust(widths[3])))
            for row in cells
        ]  # fmt: skip
        rule = "-" * len(lines[0])
        return "\n".join([lines[0], rule, *lines[1:], rule, f"{self.total:,} parameters"])


class _Observer(Context):
    """A context that notes the output of every child called through it."""

    __slots__ = ("names", "rows")

    def __init__(self, layer: Layer, names: dict[int, str], rows: list[Row]) -> None:
        super().__init__(layer, recording=False, training=False)
        self.names = names
        self.rows = rows

    def call(self, layer: Layer, *inputs: Any) -> Any:
        """Run a child and note its output's shape."""
        return observe(layer, inputs, self.names, self.rows)


def observe(layer: Layer, inputs: Any, names: dict[int, str], rows: list[Row]) -> Any:
    """Run one layer in evaluation mode and append what it and its children do to `rows`."""
    before = len(rows)
    output = layer.forward(_Observer(layer, names, rows), *inputs)
    if len(rows) == before:
        several = isinstance(output, tuple)
        shape = tuple(np.shape(y) for y in output) if several else np.shape(output)
        count = sum(p.size for p in layer.parameters())
        rows.append(Row(names.get(id(layer), ""), type(layer).__name__, shape, count))
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
            f"summary expects the shape of one sample, such as (784,) or (1, 28, 28), "
            f"got {input_shape[1:]}"
        )
    names = {id(layer): name for name, layer in reversed(list(model.named_layers()))}
    rows: list[Row] = []
    try:
        observe(model, model._as_inputs((np.zeros(input_shape),)), names, rows)
    except NpnetError as error:
        error.locate(model)
        raise
    return Summary(rows, sum(p.size for p in model.parameters()))
