"""`profile` measures where a training step spends its time and memory, layer by layer."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from npnet.arguments import checked_call, instance, whole_number
from npnet.context import Context
from npnet.layer import Layer
from npnet.losses import Loss

if TYPE_CHECKING:
    from npnet.typing import ArrayLike


class LayerCost(NamedTuple):
    """What one call of one layer costs: seconds, bytes kept, seconds of its bare products.

    An array that several calls keep counts for the first.
    """

    name: str
    kind: str
    forward: float
    backward: float
    kept: int
    products: float


class Profile:
    """The costs of a training step.

    Parameters
    ----------
    layers : list of LayerCost
        In the order of their calls; medians over the rounds.
    loss : float
        Seconds of the loss and its gradient.
    total : float
        Seconds of forward pass, loss and backward pass together, measured as a whole.
    """

    def __init__(self, layers: list[LayerCost], loss: float, total: float) -> None:
        self.layers = layers
        self.loss = loss
        self.total = total

    @property
    def products(self) -> float:
        """Share of the whole that the bare matrix products take."""
        return sum(layer.products for layer in self.layers) / self.total

    def __repr__(self) -> str:
        from npnet.summary import table

        head = ("layer", "kind", "forward us", "backward us", "products us", "kept kB")
        rows = [
            (c.name, c.kind, *(f"{s * 1e6:,.1f}" for s in (c.forward, c.backward, c.products)),
             f"{c.kept / 1e3:,.1f}")
            for c in self.layers
        ]  # fmt: skip
        rows.append(("", "loss", f"{self.loss * 1e6:,.1f}", "", "", ""))
        end = (
            f"{self.total * 1e6:,.1f} us for a step without its update; "
            f"the bare matrix products are {self.products:.0%} of it"
        )
        return table([head, *rows], 2, end)


class _Stopwatch(Context):
    """A context that times the passes of each layer called through it."""

    __slots__ = ("record", "seconds", "shapes")
    fuses = False

    def __init__(self, layer: Layer, record: list[_Stopwatch]) -> None:
        super().__init__(layer, recording=True, training=True)
        self.record = record
        self.seconds = [0.0, 0.0]
        self.shapes: list[tuple[int, ...]] = []

    def child(self, layer: Layer) -> _Stopwatch:
        """Return a context that notes into the same record."""
        return _Stopwatch(layer, self.record)

    def run(self, *inputs: Any) -> Any:
        """Run this context's layer and time it."""
        self.shapes = [np.shape(x) for x in inputs]
        start = time.perf_counter()
        output = super().run(*inputs)
        self.seconds[0] = time.perf_counter() - start
        if not self.calls:  # only layers that call no others have a row
            self.record.append(self)
        return output

    def backward(self, *grads: Any, needs_input_grad: Any = True) -> Any:
        """Run the backward pass and time it."""
        start = time.perf_counter()
        result = super().backward(*grads, needs_input_grad=needs_input_grad)
        self.seconds[1] = time.perf_counter() - start
        return result

    def bare_products(self) -> float:
        """Time the layer's matrix products alone: forward, weights' and input's gradient."""
        found = 0.0
        for m, k, n in self.layer.matmul_shapes(*self.shapes):
            x, w, y = (np.ones(s, self.layer.dtype) for s in ((m, k), (n, k), (m, n)))
            dw, dx = np.empty_like(w), np.empty_like(x)
            start = time.perf_counter()
            np.dot(x, w.T, out=y)
            np.dot(y.T, x, out=dw)
            if self.needs_input_grad:
                np.dot(y, w, out=dx)
            found += time.perf_counter() - start
        return found


_HABITS = {
    "loss_fn": "it is called loss",
    "criterion": "it is called loss",
    "steps": "it is called rounds",
    "batch_size": "x and y are the batch",
}


@checked_call("profile", _HABITS)
def profile(model: Layer, x: ArrayLike, y: ArrayLike, loss: Loss, rounds: int = 20) -> Profile:
    """Measure a training step layer by layer: time forward and backward, memory, products.

    The parameters' gradients are put back as they were; buffers (running statistics), and
    embeddings with a `max_norm`, change as in any training pass.

    Parameters
    ----------
    model : Layer
    x, y : array_like
        A batch and its targets; for several inputs x is a tuple.
    loss : Loss
        With a mean or a sum as `reduction`.
    rounds : int
        How often to run; medians are reported, after one round to warm up.

    Returns
    -------
    Profile
        Prints as a table.

    Raises
    ------
    ArgumentError
        If `rounds` is not a positive number, or something else is given for the model or the loss.

    Examples
    --------
    >>> import numpy as np, npnet
    >>> model = npnet.Sequential(npnet.Linear(8, 4), npnet.ReLU(), npnet.Linear(4, 2))
    >>> x, y = np.zeros((16, 8)), np.zeros(16, int)
    >>> costs = profile(model, x, y, npnet.CrossEntropyLoss())
    >>> [layer.kind for layer in costs.layers]
    ['Linear', 'ReLU', 'Linear']
    """
    rounds = whole_number("profile", "rounds", rounds, 1)
    instance("profile", "model", model, Layer)
    instance("profile", "loss", loss, Loss)
    parameters = list(model.parameters())
    before = [None if p.grad is None else p.grad.copy() for p in parameters]
    names = {id(layer): name for name, layer in reversed(list(model.named_layers()))}
    passes: list[tuple[list[_Stopwatch], float, float]] = []
    try:
        for _ in range(rounds + 1):
            model.zero_grad()
            record: list[_Stopwatch] = []
            root = _Stopwatch(model, record)
            inputs = model._as_inputs(x if isinstance(x, tuple) else (x,))
            start = time.perf_counter()
            output = root.run_as_root(*inputs)
            middle = time.perf_counter()
            _, grad = loss.value_and_grad(output, y)
            after = time.perf_counter()
            kept = _kept(record)
            resume = time.perf_counter()
            root.backward(grad, needs_input_grad=False)
            total = (after - start) + (time.perf_counter() - resume)
            passes.append((record, after - middle, total))
    finally:
        for p, grad_before in zip(parameters, before, strict=True):
            p.grad = grad_before
    products = [[watch.bare_products() for watch in record] for record, _, _ in passes[1:]]
    layers = [
        LayerCost(
            names.get(id(watch.layer), ""),
            type(watch.layer).__name__,
            float(np.median([record[i].seconds[0] for record, _, _ in passes[1:]])),
            float(np.median([record[i].seconds[1] for record, _, _ in passes[1:]])),
            kept[i],
            float(np.median([row[i] for row in products])),
        )
        for i, watch in enumerate(passes[-1][0])
    ]
    return Profile(
        layers,
        float(np.median([seconds for _, seconds, _ in passes[1:]])),
        float(np.median([seconds for _, _, seconds in passes[1:]])),
    )


def _kept(record: list[_Stopwatch]) -> list[int]:
    """Return the bytes that each call keeps and none before it does."""
    owners: set[int] = set()
    found = []
    for watch in record:
        size = 0
        for array in watch.saved:
            if isinstance(array, np.ndarray):
                owner = id(array if array.base is None else array.base)
                size += 0 if owner in owners else array.nbytes
                owners.add(owner)
        found.append(size)
    return found
