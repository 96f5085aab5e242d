"""UnderTest, the layer or loss that is checked: copies, inputs, passes, functions, comparison."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from npnet.context import Context
from npnet.gradcheck.comparison import mismatch
from npnet.gradcheck.inputs import mixed
from npnet.gradcheck.numeric.function import Function
from npnet.gradcheck.numeric.rounding import Float32
from npnet.gradcheck.passes import (
    Fault,
    Finding,
    LossLayer,
    Pass,
    Recording,
    attempt,
    call_forward,
    differentiated,
    parameter_grads,
    parts,
    protected,
    tensor_of,
    unseal,
)
from npnet.layer import Layer
from npnet.state import buffers, restore_buffers
from npnet.typing import Array, DtypeLike

_MARGIN = 100  # results may differ by so many times what a rounding error in the inputs moves
_FACTORS = (0.7, 1.1, 1.3, 1.9)  # no powers of two, with which products round as before
_PROBES = 16  # where numbers cancel, one of three leaves a result as it is


@dataclass(eq=False)
class UnderTest:
    """A layer, or a loss as a layer of its arguments; only copies of it are run."""

    layer: Layer
    inputs: list[Array]
    make: Callable[[], Any] | None = None
    batch_axis: int | None = 0
    batch_independence: bool = True
    seed: int = 0
    training: bool = True
    cache: dict[str, Any] = field(default_factory=dict)  # what several rules look at
    broken: dict[str, set[str]] = field(default_factory=dict)  # tensors, by broken rule
    _bases: dict[Any, Layer] = field(default_factory=dict)

    def __post_init__(self) -> None:
        members = [part for _, part in parts(self.layer)]
        declared = (getattr(part, "batch_independent", True) for part in members)
        self.batch_independence = self.batch_independence and all(declared)
        self.depends_on_dtype = any(getattr(part, "depends_on_dtype", False) for part in members)
        self.moving = differentiated(self.layer, self.inputs)
        self.is_loss = isinstance(self.layer, LossLayer)

    def fresh(self, dtype: DtypeLike = np.float64, moved: bool = True) -> Layer:
        """Return a copy without gradients, whose constant parameters are moved if possible."""
        return self._copy(np.dtype(dtype), moved and self._can_move)

    @cached_property
    def has_moved(self) -> bool:
        """Whether a copy's parameters can be moved."""
        return self._can_move and move_constants(self.fresh(moved=False))

    @cached_property
    def _can_move(self) -> bool:
        """Whether the layer still works when its constant parameters are moved."""
        layer = self._copy(np.dtype(np.float64), moved=True)
        return all(self._work(self.arrays(), layer, mode) for mode in (False, True))

    def _copy(self, dtype: np.dtype[Any], moved: bool) -> Layer:
        if (dtype, moved) not in self._bases:
            layer: Layer = attempt("copy.deepcopy", copy.deepcopy, self.layer)
            if {*map(id, layer.parameters())} & {*map(id, self.layer.parameters())}:
                text = "copy.deepcopy gave a layer that shares parameters with the original"
                raise Fault(f"{text}; the checks run on copies, mend this first")
            unseal(layer)
            for p in layer.parameters():
                p.requires_grad_(True)  # frozen ones have no gradient
            layer.zero_grad()
            layer.astype(np.float64)
            if moved:
                move_constants(layer)
            self._bases[dtype, moved] = layer.astype(dtype)
        return protected(copy.deepcopy(self._bases[dtype, moved]), self.broken)

    def arrays(self, dtype: DtypeLike = np.float64) -> list[Array]:
        """Return contiguous copies of the inputs; integers stay integers."""
        pairs = zip(self.inputs, self.moving, strict=True)
        return [np.array(x, dtype if moves else None, order="C") for x, moves in pairs]

    def others(self) -> list[Array]:
        """Return other inputs of the same shapes, mixed; the same ones if those are refused."""
        if "others" not in self.cache:
            pairs = zip(self.arrays(), self.moving, strict=True)
            found = [mixed(x) if moves or x.dtype.kind != "f" else x for x, moves in pairs]
            self.cache["others"] = found if self._work(found, self.fresh()) else self.inputs
        return [x.copy() for x in self.cache["others"]]

    def _work(
        self, inputs: Sequence[Array], layer: Layer, training: bool = False
    ) -> tuple[Array, ...]:
        """Run inference or training; return outputs if inputs are taken and these are finite."""
        with contextlib.suppress(Fault):
            ctx = Context(layer, training, training, self.generator())
            outputs = call_forward(layer, ctx, [x.copy() for x in inputs])
            return outputs if all(np.isfinite(y).all() for y in outputs) else ()
        return ()

    def upstream(self, outputs: Sequence[Array], variant: int = 1) -> list[Array]:
        """Draw a gradient for each output, of either sign and away from zero; ones for a loss."""
        if self.is_loss:
            return [np.ones_like(y) for y in outputs]
        rng = np.random.default_rng((self.seed, variant))
        sizes = [rng.uniform(0.5, 1.5, y.shape) * rng.choice([-1.0, 1.0], y.shape) for y in outputs]
        return [np.asarray(size, y.dtype) for size, y in zip(sizes, outputs, strict=True)]

    def function(
        self, inputs: Any = None, dtype: Any = np.float64, values: Any = (), **given: Any
    ) -> Function:
        """Make a function to differentiate, with moved constant parameters or `values` of all."""
        layer = self.fresh(dtype, given.pop("moved", False))
        for p, value in zip(layer.parameters(), values, strict=False):
            p.data[...] = value
        given.setdefault("upstream", np.random.default_rng((self.seed, 5)))
        given.setdefault("training", self.training)
        return Function(layer, self.arrays() if inputs is None else inputs, dtype, **given)

    def pair(self, inputs: Sequence[Any] | None = None, single: Function | None = None) -> Float32:
        """Make functions of the same numbers in float32 and float64."""
        single = self.function(inputs, np.float32) if single is None else single
        return Float32(single, self.function(single.given, upstream=single.upstream))

    def generator(self, variant: int = 0) -> np.random.Generator:
        """Return the generator that a pass draws from: always the same numbers."""
        return np.random.default_rng((self.seed, 7, variant))

    def infer(self, layer: Layer | None = None, inputs: Sequence[Array] | None = None) -> Pass:
        """Run the layer as ``layer(*inputs)`` does; the pass has outputs only."""
        layer = self.fresh() if layer is None else layer
        inputs = inputs or self.arrays()
        return Pass(call_forward(layer, Context(layer, False, False), inputs))

    def record(
        self, layer: Any = None, inputs: Any = None, training: Any = None, rng: Any = None
    ) -> Recording:
        """Run a forward pass that remembers, from the layer's first buffers."""
        layer = self.fresh() if layer is None else layer
        self.restore_buffers(layer)
        training = self.training if training is None else training
        ctx = Context(layer, True, training, rng or self.generator())
        inputs = inputs or self.arrays()
        return Recording(layer, ctx, inputs, call_forward(layer, ctx, inputs))

    def run(
        self, layer: Any = None, inputs: Any = None, upstream: Any = None, training: Any = None
    ) -> Pass:
        """Run one pass forward and backward, starting without gradients."""
        layer = self.fresh() if layer is None else layer
        layer.zero_grad()
        return self.finish(self.record(layer, inputs, training), upstream=upstream)

    def finish(self, recording: Recording, variant: int = 1, upstream: Any = None) -> Pass:
        """Run the backward pass; the gradients of parameters are all that there are."""
        outputs = tuple(y.copy() for y in recording.outputs)
        grads = self.upstream(outputs, variant) if upstream is None else upstream
        return Pass(outputs, recording.backward(grads), parameter_grads(recording.layer))

    def shifted(
        self, shift: Callable[[Array], Array], training: bool | None = None, still: Any = None
    ) -> Pass:
        """Run a pass where a shift of its own is added to everything floating that goes in."""
        layer, inputs = self.fresh(), self.arrays()
        grads = self.upstream((still or self.reference).outputs)
        moving = [x for x, moves in zip(inputs, self.moving, strict=True) if moves]
        for array in (*moving, *grads, *(p.data for p in layer.parameters())):
            if array.dtype.kind == "f":
                array += shift(array)
        return self.run(layer, inputs, grads, training=training)

    def restore_buffers(self, layer: Layer) -> None:
        """Put the buffers back to where every pass starts, in the dtype that they have."""
        if first := self._first_buffers:
            now = buffers(layer)
            restore_buffers(layer, {n: first.get(n, b).astype(b.dtype) for n, b in now.items()})

    @cached_property
    def _first_buffers(self) -> dict[str, Array]:
        return buffers(self.fresh())

    @cached_property
    def reference(self) -> Pass:
        """A pass in float64, to which others are compared."""
        return self.run()

    def draws(self, training: bool) -> bool:
        """Tell whether a pass depends on the context's generator."""
        generator = self.generator()
        self.record(training=training, rng=generator)
        return generator.bit_generator.state != self.generator().bit_generator.state

    @cached_property
    def is_random(self) -> bool:
        """Whether training mode differs from evaluation mode by right."""
        layer = self.fresh()
        before = buffers(layer).items()
        self.record(layer)
        after = buffers(layer)
        moved = any(mismatch(after[name], buffer, 0.0) for name, buffer in before)
        return moved or self.draws(self.training)

    @cached_property
    def no_function(self) -> str:
        """Why forward cannot be differentiated; empty if it can."""
        layer = self.fresh()
        one, two = (Pass(self.run(layer).outputs) for _ in range(2))
        text = "two passes with the same input and the same generator differ"
        return text if self.compared(two, one, every=True) else ""

    @cached_property
    def has_batches(self) -> bool:
        """Whether all inputs have a batch axis, and twice as many samples give as many outputs."""
        axis, inputs = self.batch_axis, self.inputs
        # One axis of real numbers may as well be the features, but not those of a loss.
        vector = not self.is_loss
        if axis is None or any(x.ndim <= max(axis, vector and x.dtype.kind == "f") for x in inputs):
            return False
        if len({x.shape[axis] for x in inputs}) != 1:
            return False
        n, pairs = inputs[0].shape[axis], zip(self.arrays(), self.others(), strict=True)
        double = self._work([np.concatenate(pair, axis) for pair in pairs], self.fresh())
        return bool(double) and all(
            y.shape[axis : axis + 1] == (n,)
            and twice.shape == (*y.shape[:axis], 2 * n, *y.shape[axis + 1 :])
            for y, twice in zip(self.steady.outputs, double, strict=True)
        )

    @cached_property
    def steady(self) -> Pass:
        """A pass in the mode in which the layer is one fixed function."""
        return self.run(training=False) if self.is_random else self.reference

    def differences(self, got: Pass, want: Pass, text: str = "{}") -> Iterator[Finding]:
        """Say in a text of every result of `want` that `got` differs by more than rounding."""
        for name, found in self.compared(got, want).items():
            yield Finding(text.format(f"the {name} {found}"), tensor_of(name))

    def compared(self, got: Pass, want: Pass, every: bool = False) -> dict[str, str]:
        """Say how results that both have differ, by name; of `every` one, unsteady or not."""
        wanted, found = want.named(), {}
        for name, array in got.named().items():
            if name in wanted and mismatch(array, wanted[name]):
                text = mismatch(array, wanted[name], slack=_MARGIN * self.noise[name])
                if text and (every or name not in self.unsteady):
                    found[name] = text
        return found

    @cached_property
    def unsteady(self) -> set[str]:
        """The results that differ between identical passes, about which nothing else is said."""
        layer = self.fresh()
        first = self.infer(layer).copy()
        found = {*self.compared(self.infer(layer), first, every=True)}
        with contextlib.suppress(Fault):
            for inputs in (None, None, self.others(), None):
                got = self.run(layer, inputs)
                found |= set() if inputs else self.compared(got, self.reference, every=True).keys()
        return found

    @cached_property
    def noise(self) -> dict[str, float]:
        """How far rounding errors in everything that goes in move each result of a pass at most."""
        rng, results = np.random.default_rng((self.seed, 11)), self.reference.named()
        least = np.spacing(max(1.0, *(np.abs(x).max(initial=0.0) for x in self.inputs)))
        worst = dict.fromkeys(results, float(least))
        again = self.run().named()
        if any(mismatch(again[name], a) for name, a in results.items()):
            return worst  # what moves is chance
        modes = {self.training and not self.is_random: self.steady, self.training: self.reference}

        def unit(a: Array) -> Array:
            return np.asarray(rng.choice([-1.0, 1.0], a.shape) * np.spacing(a))

        for training, still in [*modes.items()] * _PROBES:
            with contextlib.suppress(Fault):  # beyond the numbers that the layer takes
                moved = self.shifted(unit, training, still).named()
                for name, a in still.named().items():
                    if moved[name].shape == a.shape:
                        change = np.nan_to_num(np.abs(moved[name] - a), nan=0.0, posinf=0.0)
                        worst[name] = max(worst[name], change.max(initial=0.0))
        # Differences of products inside backward may keep still when what goes in moves.
        sizes = {name: float(np.abs(a).max(initial=0.0)) for name, a in results.items()}
        for factor in _FACTORS:
            grads = [np.asarray(g * factor, g.dtype) for g in self.upstream(self.reference.outputs)]
            for name, a in self.run(upstream=grads).times(1 / factor).named().items():
                change = float(np.abs(a - results[name]).max(initial=0.0))
                if change <= max(1e-8 * sizes[name], 1e-12 * max(sizes.values())):
                    worst[name] = max(worst[name], change)
        return worst


def move_constants(layer: Layer) -> bool:
    """Replace what is constant in parameters and buffers by random numbers near it; tell if any."""
    rng, moved = np.random.default_rng(5), False
    for p in layer.parameters():
        if _hides_bugs(p.data):
            p.data, moved = _near(p.data, rng, rng.choice([-1.0, 1.0], p.shape)), True
    for _, part in layer.named_layers():
        for name, value in list(part._buffers.items()):
            if value.dtype.kind == "f" and value.ndim and _hides_bugs(value):
                setattr(part, name, _near(value, rng, 1.0))
                moved = True
    return moved


def _hides_bugs(values: Array) -> bool:
    one = np.unique(values)
    return one.size == 1 and (values.size > 1 or one[0] in (-1, 0, 1))


def _near(values: Array, rng: np.random.Generator, sign: Array | float) -> Array:
    factor, shift = rng.uniform(0.7, 1.3, values.shape), rng.uniform(0.1, 0.5, values.shape)
    return np.asarray(np.where(values == 0, sign * shift, values * factor), values.dtype)
