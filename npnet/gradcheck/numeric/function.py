"""What is differentiated: the outputs of a copy of a layer or loss as a function of live arrays."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from npnet.context import Context
from npnet.gradcheck.passes import (
    Fault,
    LossLayer,
    Recording,
    call_forward,
    differentiated,
    name_of,
)
from npnet.layer import Layer
from npnet.state import buffers, restore_buffers
from npnet.typing import Array


class Line(NamedTuple):
    """A line along which live arrays move."""

    parts: list[tuple[Array, Any, Any, Any]]  # array, index, numbers at the start, direction
    scale: float = 1.0  # a step that changes the function markedly
    finest: float = 2.0**-42  # the smallest useful step
    size: float = 1.0  # of the point itself, unless much less changes the function

    def move(self, step: float) -> float:
        """Shift by a step; return the one really taken after rounding."""
        for x, at, start, direction in self.parts:
            x[at] = moved = start + step * direction
        return moved - start if isinstance(start, float) else step

    def restore(self) -> None:
        """Put everything back."""
        for x, at, start, _ in self.parts:
            x[at] = start


def element_lines(variable: Array, indices: Array, reach: float = 1.0) -> list[Line]:
    """Make a line for each chosen element of a contiguous variable."""
    flat, typical, near = variable.reshape(-1), typical_size(variable), min(reach, 1.0)
    found = []
    for i in indices.tolist():
        start = float(flat[i])
        size, own = abs(start) or typical * near, max(abs(start), typical)
        found.append(Line([(flat, i, start, 1.0)], own * reach, size * 2.0**-50, own * near))
    return found


def direction_line(variables: Sequence[Array], directions: Sequence[Array]) -> Line:
    """Make a line along which variables move at once."""
    pairs = list(zip(variables, directions, strict=True))
    reach = max((typical_size(v) / typical_size(x) for x, v in pairs), default=1.0)
    return Line([(x, ..., x.copy(), v) for x, v in pairs], finest=2.0**-42 / max(1.0, reach))


def typical_size(x: Array) -> float:
    """Return the median size of the elements that are not zero, 1 if all are."""
    sizes = np.abs(x[x != 0])
    return float(np.median(sizes)) if sizes.size else 1.0


def random_direction(x: Array, rng: np.random.Generator, reach: float = 1.0) -> Array:
    """Draw a direction in which every element moves by about its typical size, none by zero."""
    size = np.maximum(np.abs(x), typical_size(x)) * reach
    return np.asarray(size * rng.choice([-1.0, 1.0], x.shape) * rng.uniform(0.5, 1.0, x.shape))


def sample(size: int, count: int, rng: np.random.Generator) -> Array:
    """Choose `count` positions in a tensor of `size` elements; sorted, without repetition."""
    return np.arange(size) if count >= size else np.sort(rng.choice(size, count, replace=False))


def located(size: int, is_wrong: Callable[[Array], bool]) -> Array:
    """Find some of the positions, up to `size`, that are wrong, by halving groups of them."""
    pending, found = [np.arange(size)], list[int]()
    while pending and len(found) < _LOCATED:
        part = pending.pop()
        half = part.size // 2
        if part.size and is_wrong(part):
            found += part.tolist() if half == 0 else []
            pending += [part[half:], part[:half]] if half else []
    return np.array(sorted(found), dtype=np.intp)


EPS = float(np.finfo(np.float64).eps)
_LOCATED = 16  # faulty elements after which a search ends
_START = np.random.PCG64(0).state  # of the generator, in every pass
LOUD = 30.0  # the second upstream gradient is larger, so that clipping in backward shows


class Draws(np.random.Generator):
    """A generator that gives the same numbers in float32 as in float64."""

    def random(self, size: Any = None, dtype: Any = np.float64, out: Any = None) -> Any:
        """Draw from [0, 1)."""
        return _cast(super().random(size if out is None else out.shape), dtype, out)

    def standard_normal(self, size: Any = None, dtype: Any = np.float64, out: Any = None) -> Any:
        """Draw from the normal distribution."""
        return _cast(super().standard_normal(size if out is None else out.shape), dtype, out)


def _cast(drawn: Any, dtype: Any, out: Any) -> Any:
    if out is None:
        return np.dtype(dtype).type(drawn)
    out[...] = drawn
    return out


class Function:
    """The sums <r, y> over all n outputs y of a layer or loss, for k upstream gradients r."""

    def __init__(
        self,
        layer: Layer,
        inputs: Sequence[Array],
        dtype: Any = np.float64,
        *,
        training: bool = True,
        upstream: np.random.Generator | Array | None = None,
    ) -> None:
        self.layer: Any = layer
        self.training, self.dtype = training, np.dtype(dtype)
        self.is_loss = isinstance(layer, LossLayer)
        self.checked: Any = layer.loss if isinstance(layer, LossLayer) else layer
        self.given = [np.array(x, dtype if x.dtype.kind == "f" else None) for x in inputs]
        self._draws, self.draws_numbers = Draws(np.random.PCG64(0)), True
        self._buffers = buffers(layer)
        layer.zero_grad()
        names = [name_of("input", i, self.given) for i in range(len(self.given))]
        if isinstance(layer, LossLayer):
            names = [*layer.loss.arguments, "sample_weight"]
        moving = differentiated(self.layer, self.given)
        self.names = list(itertools.compress(names, moving))
        self.variables = list(itertools.compress(self.given, moving))
        self.inputs: tuple[Any, ...] = tuple(self.variables if self.is_loss else self.given)
        self.parameters: dict[str, Any] = dict(self.layer.named_parameters())
        self.names += self.parameters
        self.variables += [p.data for p in self.parameters.values()]
        found = self.run()
        self._floating = [y.dtype.kind == "f" for y in found]
        if not any(self._floating):
            text = f"forward returned integers ({found[0].dtype})"
            raise Fault(f"{text}; there is nothing to differentiate")
        self.shapes = tuple(y.shape for y in found)
        self.ends = np.cumsum([y.size for y in found])
        self.here = np.concatenate([y.reshape(-1) for y in found]).astype(np.float64)
        if not isinstance(upstream, np.ndarray):
            upstream = self._draw_upstream(np.random.default_rng(upstream))
        self.upstream = upstream
        # Rewinding costs more than a small pass.
        self.draws_numbers = self._draws.bit_generator.state != _START

    def _draw_upstream(self, rng: np.random.Generator) -> Array:
        """Draw signs and sizes away from zero: ones hide transposed sums and much else."""
        if self.is_loss:
            return np.ones((1, self.here.size))
        size = (2, self.here.size)
        drawn = rng.uniform(0.5, 1.5, size) * rng.choice([-1.0, 1.0], size)
        drawn[1] *= LOUD
        for part, floating in zip(np.split(drawn, self.ends[:-1], 1), self._floating, strict=True):
            part *= floating  # nothing flows back through integers
        return np.asarray(drawn)

    @property
    def finite(self) -> bool:
        """Whether all outputs are finite at the point."""
        return bool(np.isfinite(self.here).all())

    @property
    def weights(self) -> Array:
        """Sizes of the upstream gradients, (k, n)."""
        return np.asarray(np.abs(self.upstream))

    def split(self, flat: Array, dtype: Any = None) -> list[Array]:
        """Cut a vector over all outputs into one array for each, in the function's dtype."""
        parts, dtype = np.split(flat, self.ends[:-1]), self.dtype if dtype is None else dtype
        return [p.reshape(s).astype(dtype) for p, s in zip(parts, self.shapes, strict=True)]

    @contextlib.contextmanager
    def restored(self) -> Iterator[list[Array]]:
        """Put the variables back at the end of the block; gives copies of them."""
        kept = [v.copy() for v in self.variables]
        try:
            yield kept
        finally:
            for v, k in zip(self.variables, kept, strict=True):
                v[...] = k

    def here_now(self) -> Array:
        """Compute all outputs at the variables' present values; NaN if that cannot be."""
        try:
            found = self.run()
        except Exception:  # outside the layer's domain; such a step is passed over
            return np.full(self.here.size, np.nan)
        shapes = tuple(y.shape for y in found)
        if shapes != self.shapes:
            now, first = (", ".join(map(str, s)) for s in (shapes, self.shapes))
            raise Fault(f"forward returned shape {now} in another call, {first} in the first")
        return np.concatenate([y.reshape(-1) for y in found], dtype=np.float64)

    def rows(self, lines: Sequence[Line], steps: Array) -> tuple[Array, Array]:
        """Evaluate at j steps along each of m lines, (m, j)."""
        found, taken = np.empty((*steps.shape, self.here.size)), np.empty(steps.shape)
        for i, line in enumerate(lines):
            for j, step in enumerate(steps[i].tolist()):
                taken[i, j] = line.move(step)
                found[i, j] = self.here_now()
            line.restore()
        return found, taken

    def analytic(self, upstream: Array | None = None) -> list[Array] | None:
        """Compute the gradients at the present values, (size, k) each; None if that raises."""
        try:
            rows = self.upstream if upstream is None else upstream
            return self.stack([self.gradients(self.split(r)) for r in rows])
        except Exception:  # outside the layer's domain
            return None

    def stack(self, gradients: list[list[Array | None]]) -> list[Array]:
        """Put gradients for several upstream gradients side by side; zeros where none was set."""
        columns = zip(self.variables, *gradients, strict=True)
        return [
            np.stack([np.zeros(v.size) if g is None else np.ravel(g) for g in gs], 1, dtype=float)
            for v, *gs in columns
        ]

    def context(self, kind: type[Context] = Context) -> Context:
        """Return a context for a pass from the common starting point."""
        if self.draws_numbers:
            self._draws.bit_generator.state = _START
        if self._buffers:
            restore_buffers(self.layer, self._buffers)
        return kind(self.layer, True, self.training, self._draws)

    def run(self) -> tuple[Array, ...]:
        """Compute the outputs in a recorded pass, so that dropout's masks are the same."""
        ctx = self.context()
        ctx.recording = not self.is_loss
        return self._record(ctx).outputs

    def _record(self, ctx: Context) -> Recording:
        inputs = [x.copy() for x in self.given]  # a layer may write into them
        return Recording(self.layer, ctx, inputs, call_forward(self.layer, ctx, inputs))

    def gradients(
        self, upstream: Sequence[Array], kind: type[Context] = Context
    ) -> list[Array | None]:
        """Run forward and backward with fresh gradients."""
        self.layer.zero_grad()
        recording = self._record(self.context(kind))
        grads = recording.backward([r.copy() for r in upstream])
        found: list[Any] = [np.array(g) for g in grads if g is not None]
        for g, x, name in zip(found, self.variables, self.names, strict=False):
            if g.shape != x.shape:
                shapes = f"{g.shape} for the {name} of shape {x.shape}"
                raise Fault(f"backward returned a gradient of shape {shapes}")
        found += [None if p.grad is None else p.grad.copy() for p in self.parameters.values()]
        self.layer.zero_grad()
        return found
