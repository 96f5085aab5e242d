"""Specimen, the layer under examination: fresh copies of it, its inputs, and passes through it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from npnet.context import Context
from npnet.gradcheck.contract.calls import (
    Fault,
    Pass,
    Recording,
    call_forward,
    parameter_grads,
)
from npnet.gradcheck.contract.compare import mismatch
from npnet.gradcheck.contract.stir import stir
from npnet.gradcheck.raised import describe
from npnet.gradcheck.subject import unseal
from npnet.layer import Layer
from npnet.state import buffers, restore_buffers
from npnet.typing import Array, DtypeLike

_ROUNDING = 4e-16


class Specimen:
    """One layer under examination.

    Parameters
    ----------
    layer : Layer
        Never run itself: every rule works on copies.
    inputs : list of ndarray
        In float64, or integers.
    make : callable, optional
        Makes another layer of the same kind.
    batch_axis : int or None
        The axis that counts the samples.
    batch_independence : bool
        Whether one sample's result must not depend on the others.
    seed : int
        Of upstream gradients and of the generators that passes draw from.
    """

    def __init__(
        self,
        layer: Layer,
        inputs: list[Array],
        make: Callable[[], Any] | None = None,
        *,
        batch_axis: int | None = 0,
        batch_independence: bool = True,
        seed: int = 0,
    ) -> None:
        self.layer = layer
        self.inputs = inputs
        self.make = make
        self.batch_axis = batch_axis
        self.batch_independence = batch_independence
        self.seed = seed
        self.cache: dict[str, Any] = {}  # what several rules look at
        self._bases: dict[Any, Layer] = {}

    # --- copies of the layer and its inputs

    def fresh(self, dtype: DtypeLike = np.float64) -> Layer:
        """Return a copy of the layer in `dtype`, without gradients and with stirred values."""
        key = np.dtype(dtype)
        if not self.copies:
            return self._twin(self.is_stirred).astype(key)
        if key not in self._bases:
            self._bases[key] = self._twin(self.is_stirred).astype(key)
        return copy.deepcopy(self._bases[key])

    @cached_property
    def is_stirred(self) -> bool:
        """Whether the layer still works after `stir` moved its constant parameters."""
        layer = self._twin(stirred=True)
        contexts = (Context(layer, False, False), Context(layer, True, True, self.generator()))
        try:
            results = [call_forward(layer, ctx, self.arrays()) for ctx in contexts]
        except Fault:
            return False
        return all(np.isfinite(y).all() for outputs in results for y in outputs)

    @cached_property
    def has_moved(self) -> bool:
        """Whether `stir` changed anything in the copies that `fresh` returns."""
        plain, fresh = self.plain(), self.fresh()
        pairs = [
            (p.data, q.data) for p, q in zip(plain.parameters(), fresh.parameters(), strict=True)
        ]
        before, after = buffers(plain), buffers(fresh)
        pairs += [(before[name], after[name]) for name in before]
        return any(mismatch(now, then, 0.0) for then, now in pairs)

    def plain(self) -> Layer:
        """Return a copy of the layer in float64 with the values that it has."""
        return self._twin(stirred=False)

    def _twin(self, stirred: bool) -> Layer:
        """Return another layer in float64 that holds the values of the first one."""
        if self.copies:
            twin = copy.deepcopy(self.layer)
            unseal(twin)
        else:
            twin = self.another()
            twin.load_state_dict(self.layer.state_dict())
        twin.zero_grad()
        twin.astype(np.float64)
        if stirred:
            stir(twin)
        return twin

    def another(self) -> Layer:
        """Make a layer with values of its own."""
        twin: Layer = self.make()  # type: ignore[misc]
        unseal(twin)
        return twin

    @cached_property
    def copies(self) -> bool:
        """Whether copy.deepcopy gives a layer with parameters of its own."""
        try:
            twin = copy.deepcopy(self.layer)
        except Exception as error:
            if self.make is None:
                raise Fault(
                    f"copy.deepcopy raised {describe(error)}; the checks run on copies, so "
                    "mend this first, or pass a function that makes the layer"
                ) from error
            return False
        own = set(map(id, self.layer.parameters()))
        shares = any(id(p) in own for p in twin.parameters())
        if shares and self.make is None:
            raise Fault(
                "copy.deepcopy gave a layer that shares parameters with the original; the checks "
                "run on copies, so mend this first, or pass a function that makes the layer"
            )
        return not shares

    def arrays(self, dtype: DtypeLike = np.float64) -> list[Array]:
        """Return copies of the inputs; integers stay integers."""
        return [np.array(x, dtype=dtype if x.dtype.kind == "f" else None) for x in self.inputs]

    def others(self) -> list[Array]:
        """Return other inputs of the same shapes that are as good.

        Each sample is the one before it, mixed with some of itself: intervals, simplices and
        other convex domains are not left. A layer that refuses that gets the same inputs again.
        """
        return [x.copy() for x in self._others]

    @cached_property
    def _others(self) -> list[Array]:
        found = [mixed(x) for x in self.inputs]
        try:
            outputs = self.infer(self.fresh(), [x.copy() for x in found])
        except Fault:
            return self.inputs
        return found if all(np.isfinite(y).all() for y in outputs) else self.inputs

    def repeated(self) -> list[Array] | None:
        """Return the inputs with indices that occur twice, if none of them does."""
        chosen = [x for x in self.inputs if x.dtype.kind != "f" and x.size > 1]
        if not chosen or any(np.unique(x).size < x.size for x in chosen):
            return None
        found = self.arrays()
        for x in found:
            if x.dtype.kind != "f":
                x.reshape(-1)[x.size // 2 :] = x.reshape(-1)[: x.size - x.size // 2]
        try:
            outputs = self.infer(self.fresh(), found)
        except Fault:
            return None
        return found if all(np.isfinite(y).all() for y in outputs) else None

    def upstream(self, outputs: Sequence[Array], variant: int = 1) -> list[Array]:
        """Draw a gradient for each output; zeros for an integer one."""
        rng = np.random.default_rng((self.seed, variant))
        grads = []
        for y in outputs:
            grad = rng.uniform(0.5, 1.5, y.shape) * rng.choice([-1.0, 1.0], y.shape)
            grads.append(np.asarray(grad if y.dtype.kind == "f" else 0 * grad, y.dtype))
        return grads

    def generator(self, variant: int = 0) -> np.random.Generator:
        """Return the generator that a pass draws from: always the same numbers."""
        return np.random.default_rng((self.seed, 7, variant))

    # --- passes

    def infer(self, layer: Layer, inputs: Sequence[Array] | None = None) -> tuple[Array, ...]:
        """Run the layer as ``layer(*inputs)`` does and return its raw outputs."""
        return self._forward(layer, inputs, Context(layer, recording=False, training=False)).outputs

    def record(
        self,
        layer: Layer,
        inputs: Sequence[Array] | None = None,
        *,
        training: bool = True,
        rng: np.random.Generator | None = None,
    ) -> Recording:
        """Run a forward pass that remembers, from the layer's first buffers."""
        self.restore_buffers(layer)
        rng = self.generator() if rng is None else rng
        return self._forward(layer, inputs, Context(layer, True, training, rng))

    def run(
        self,
        layer: Layer | None = None,
        inputs: Sequence[Array] | None = None,
        upstream: Sequence[Array] | None = None,
        *,
        training: bool = True,
        needs_input_grad: bool = True,
        rng: np.random.Generator | None = None,
    ) -> Pass:
        """Run one pass forward and backward, starting without gradients."""
        layer = self.fresh() if layer is None else layer
        layer.zero_grad()
        recording = self.record(layer, inputs, training=training, rng=rng)
        outputs = tuple(y.copy() for y in recording.outputs)
        grads = self.upstream(outputs) if upstream is None else upstream
        dx = recording.backward(grads, needs_input_grad)
        return Pass(outputs, dx if needs_input_grad else (), parameter_grads(layer))

    def _forward(self, layer: Layer, inputs: Sequence[Array] | None, ctx: Context) -> Recording:
        inputs = self.arrays() if inputs is None else inputs
        return Recording(layer, ctx, inputs, call_forward(layer, ctx, inputs))

    def restore_buffers(self, layer: Layer) -> None:
        """Put the buffers back to where every pass starts."""
        dtype = np.dtype(np.float64 if layer.dtype is None else layer.dtype)
        values = self._first_buffers.items()
        first = {k: v.astype(dtype) if v.dtype.kind == "f" else v for k, v in values}
        restore_buffers(layer, first)

    @cached_property
    def _first_buffers(self) -> dict[str, Array]:
        return buffers(self._twin(self.is_stirred))

    # --- what kind of layer it is

    @cached_property
    def reference(self) -> Pass:
        """A training pass in float64, to which others are compared."""
        return self.run()

    @cached_property
    def draws_random_numbers(self) -> bool:
        """Whether a training pass depends on the context's generator."""
        generator = self.generator()
        before = generator.bit_generator.state
        self.record(self.fresh(), rng=generator)
        return bool(generator.bit_generator.state != before)

    @cached_property
    def moves_buffers(self) -> bool:
        """Whether a training pass changes buffers."""
        layer = self.fresh()
        before = buffers(layer)
        self.record(layer)
        after = buffers(layer)
        return any(mismatch(after[name], before[name], 0.0) for name in before)

    @property
    def is_random(self) -> bool:
        """Whether training mode differs from evaluation mode by right."""
        return self.draws_random_numbers or self.moves_buffers

    @cached_property
    def steady(self) -> Pass:
        """A pass in the mode in which the layer is one fixed function."""
        return self.run(training=not self.is_random)

    @cached_property
    def noise(self) -> dict[str, Array]:
        """How far rounding errors in everything that goes in move each result of a pass.

        Errors as small as rounding show what jumps; larger ones, scaled down, show what is steep
        or what cancels, which small ones may leave by chance as it is.
        """
        rng = np.random.default_rng((self.seed, 11))
        worst = {name: np.zeros(a.shape) for name, a in self.reference.named().items()}
        modes = [(self.reference, True), (self.steady, not self.is_random)]
        for still, training in modes[: 1 + self.is_random]:
            for size in (_ROUNDING, _ROUNDING, 1e-10, 1e-10):
                layer, inputs = self.fresh(), self.arrays()
                grads = self.upstream(still.outputs)
                for array in (*inputs, *grads, *(p.data for p in layer.parameters())):
                    if array.dtype.kind == "f":
                        array *= 1 + rng.choice([-1, 1], array.shape) * size
                moved = self.run(layer, inputs, grads, training=training).named()
                for name, a in still.named().items():
                    if moved[name].shape == worst[name].shape:
                        change = np.abs(moved[name] - a) * (_ROUNDING / size)
                        np.maximum(worst[name], change, out=worst[name])
        return worst

    def differences(self, got: Pass, want: Pass, part: Any = ...) -> Iterator[str]:
        """Yield a phrase for every result of `got` that differs by more than rounding from `want`.

        Rounding errors may be large where the layer is steep or numbers cancel. `part` selects
        the rows of `noise` that `got` and `want` hold of inputs and outputs.
        """
        wanted = want.named()
        for name, array in got.named().items():
            if mismatch(array, wanted[name]):
                noise = self.noise[name]
                noise = noise if name in _by_parameter(want) else noise[part]
                slack = noise if noise.shape == array.shape else 0.0
                found = mismatch(array, wanted[name], slack=1000 * (slack + self.floor(name)))
                if found:
                    yield f"the {name} {found}"

    def floor(self, name: str) -> float:
        """Return what cancelling numbers inside of the layer may leave, which `noise` misses."""
        largest = max((np.abs(x).max(initial=0.0) for x in self.inputs), default=0.0)
        if not name.startswith("gradient of"):
            return float(_ROUNDING * largest)
        return float(_ROUNDING * (1.0 if name.startswith("gradient of input") else largest))


def _by_parameter(one: Pass) -> set[str]:
    return {f"gradient of {name}" for name in one.parameter_grads}


def mixed(x: Array) -> Array:
    """Replace each sample, or element of a vector, by most of the one before it.

    The shares differ, so that means over the samples change too. Whole numbers are shifted.
    """
    if x.size == 0:
        return x.copy()
    rolled = np.roll(x, 1, axis=0) if x.ndim > 1 and len(x) > 1 else np.roll(x, 1)
    if x.dtype.kind != "f":
        return rolled
    if (rolled == x).all():
        return np.asarray(0.9 * x + 0.1 * (x == 0))
    share = np.linspace(0.05, 0.25, len(x)).reshape(-1, *[1] * (x.ndim - 1))
    return np.asarray(share * x + (1 - share) * rolled)
