"""Which gradients are right at a kink, where the derivative does not exist.

Around a kink the function is made of smooth pieces, each with a gradient. Right at the kink are
the limits of those and what lies between them (Clarke's generalised gradient). Points nearby are
drawn, backward is verified at each by a difference, and the gradient at the kink is compared along
joint directions with what the pieces have there. A maximum that gives every tied element the whole
gradient lies outside, though each of its elements alone could be right.

In a model, the chain rule composes such gradients layer by layer: relu(x) - relu(-x) is x, smooth
at 0, and every framework returns 0 there. So a model is right if it is right nearby, and each of
its layers is right at its own kink.

References
----------
F. H. Clarke, "Optimization and nonsmooth analysis", Wiley (1983), chapter 2.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np

from npnet.context import Context
from npnet.gradcheck.numeric.differences import ROUNDING
from npnet.gradcheck.numeric.function import Function, LayerFunction
from npnet.gradcheck.numeric.lines import DirectionLine, typical_size
from npnet.typing import Array

_AWAY = 2.0**-14  # how far nearby points are, relative to the variables
_STEP = 2.0**-30  # of the differences there
_CLOSE = 1e-3  # by how much the gradient on one side of a kink varies, as a share
_MARGIN = 0.1  # share of the width of the pieces' slopes by which a value may lie outside
_DIRECTIONS = 8
_ORDERED = 8  # nearby points that are shifted in an order, as ties are often broken
_POINTS = (16, 48, 192)  # nearby points, more as long as the answer is no


class Kink:
    """The point of a function, where its gradient may jump."""

    def __init__(self, function: Function, analytic: list[Array] | None = None) -> None:
        self.function = function
        found = function.analytic(function.upstream[:1]) if analytic is None else analytic
        self.gradient = [] if found is None else [g[:, 0] for g in found]
        self._rng = np.random.default_rng(3)
        self._pieces: list[list[Array]] = []
        self._tried = self._wrong = 0

    def accepts(self) -> bool:
        """Tell whether the gradient is right here, by the pieces or by the chain rule."""
        if not self.gradient or not all(np.isfinite(g).all() for g in self.gradient):
            return False
        self._visit(_ORDERED + 4)
        if 2 * self._wrong > self._tried or not self._pieces or not self.jumps:
            return False
        return self._is_limit() or self._follows_chain_rule() or self._lies_between()

    @property
    def decides(self) -> bool:
        """Whether enough is known about the points nearby to refuse what is returned here."""
        return self._tried > 0 and bool(self._pieces or self._wrong)

    @property
    def jumps(self) -> bool:
        """Whether gradients nearby differ from each other or from the one here."""
        gradients = [self.gradient, *self._pieces]
        return any(_range(g, i) > 10 * _CLOSE for g in [gradients] for i in range(len(g[0])))

    def outside(self, variable: int) -> Array:
        """Mark the elements whose gradient is beyond that of every piece."""
        low, high = self._ends(variable)
        slack = _CLOSE * max(np.abs(low).max(initial=0), np.abs(high).max(initial=0))
        slack = slack + _MARGIN * (high - low)
        here = self.gradient[variable]
        return np.asarray((here < low - slack) | (here > high + slack))

    def jumping(self, variable: int) -> Array:
        """Mark the elements whose gradient differs between the pieces, or from the one here."""
        low, high = self._ends(variable)
        here = self.gradient[variable]
        width = np.maximum(high, here) - np.minimum(low, here)
        return np.asarray(width > 10 * _CLOSE * np.maximum(np.abs(low), np.abs(high)))

    def fault(self, variable: int) -> str:
        """Say how the gradient of a variable is wrong at the kink."""
        at = self.jumping(variable)
        here = float(np.abs(self.gradient[variable][at]).sum())
        sums = [float(np.abs(p[variable][at]).sum()) for p in self._pieces] or [here]
        if here > 1.2 * max(sums):
            return (
                "adds up to more than any gradient nearby: of several equal elements, each gets "
                "the whole gradient; it belongs to one of them, or must be shared"
            )
        if here < 0.8 * min(sums):
            return "adds up to less than any gradient nearby: none of several equal elements gets it"
        return "is neither one of the gradients nearby, nor between them"

    def _ends(self, variable: int) -> tuple[Array, Array]:
        values = np.array([p[variable] for p in self._pieces] or [self.gradient[variable]])
        return values.min(axis=0), values.max(axis=0)

    def _visit(self, count: int) -> None:
        """Add pieces: gradients at points nearby, each verified by a difference."""
        function = self.function
        with function.restored() as kept:
            sizes = [np.where(k != 0, np.abs(k), typical_size(k)) for k in kept]
            for _ in range(count):
                offsets = self._offsets(sizes)
                for v, k, offset in zip(function.variables, kept, offsets, strict=True):
                    v[...] = k + _AWAY * offset
                found = function.analytic(function.upstream[:1])
                if found is None:
                    continue
                piece = [g[:, 0] for g in found]
                self._tried += 1
                if self._is_right(piece, sizes):
                    self._pieces.append(piece)
                else:
                    self._wrong += 1

    def _offsets(self, sizes: list[Array]) -> list[Array]:
        """Shift in the order of the elements, the first variable against the others; or anyhow."""
        k, found = self._tried, []
        for v, size in enumerate(sizes):
            pattern = self._rng.uniform(-1.0, 1.0, size.shape)
            if k < _ORDERED:
                places = np.arange(size.size) + self._rng.uniform(0.0, 0.5, size.size)
                ramp = 0.5 + 0.5 * places.reshape(size.shape) / max(1, size.size)
                ramp = 1.5 - ramp if k & 1 else ramp
                sign = -1.0 if bool(k & 2) != (bool(k & 4) and v == 0) else 1.0
                pattern = sign * self._rng.uniform(0.5, 1.0) * ramp
            found.append(size * pattern)
        return found

    def _is_right(self, piece: list[Array], sizes: list[Array]) -> bool:
        """Verify a gradient at the variables' present values along one direction."""
        function = self.function
        signs = [self._rng.choice([-1.0, 1.0], s.shape) for s in sizes]
        moves = [s * sign for s, sign in zip(sizes, signs, strict=True)]
        line = DirectionLine(function.variables, moves)
        y, _ = function.rows(line, 0, 1, np.array([[_STEP, -_STEP]]))
        change = (y[0, 0] - y[0, 1]) / (2 * _STEP)
        weights, r = function.weights[0], function.upstream[0]
        rounding = ROUNDING * function.eps * (weights @ np.abs(y[0, 0])) / _STEP
        along = sum(float(m.reshape(-1) @ g) for m, g in zip(moves, piece, strict=True))
        size = max(float(weights @ np.abs(change)), abs(along))
        # A difference that is lost in rounding decides nothing.
        return bool(abs(r @ change - along) <= 1e-4 * size + 16 * rounding)

    def _is_limit(self) -> bool:
        """Tell whether some piece has the gradient that is returned here."""
        return any(
            all(
                np.abs(p - g).max(initial=0.0) <= _CLOSE * np.abs(g).max(initial=0.0)
                for p, g in zip(piece, self.gradient, strict=True)
            )
            for piece in self._pieces
        )

    def _lies_between(self) -> bool:
        """Compare along joint directions: random ones, and everything at once."""
        sizes = [np.where(v != 0, np.abs(v), typical_size(v)) for v in self.function.variables]
        directions = [[s.reshape(-1) for s in sizes]]
        for _ in range(_DIRECTIONS):
            directions.append([self._rng.normal(size=s.size) * s.reshape(-1) for s in sizes])
        for v in range(len(sizes)):  # and each variable alone
            alone = [np.zeros(s.size) for s in sizes]
            alone[v] = sizes[v].reshape(-1)
            directions.append(alone)
        for points in _POINTS:
            self._visit(max(0, points - self._tried))
            if all(self._is_inside(d) for d in directions):
                return True
        return False

    def _is_inside(self, direction: list[Array]) -> bool:
        def along(gradient: list[Array]) -> float:
            return float(sum(d @ g for d, g in zip(direction, gradient, strict=True)))

        pieces = [along(p) for p in self._pieces]
        low, high = min(pieces), max(pieces)
        size = max(
            sum(float(np.abs(d) @ np.abs(g)) for d, g in zip(direction, p, strict=True))
            for p in self._pieces
        )
        slack = _MARGIN * (high - low) + _CLOSE * size
        return low - slack <= along(self.gradient) <= high + slack

    def _follows_chain_rule(self) -> bool:
        """Tell whether each layer of a model is right at its own point."""
        if not isinstance(self.function, LayerFunction) or not self.function.checked._layers:
            return False
        calls = list(_leaf_calls(self.function))
        return bool(calls) and all(_leaf_is_right(*call) for call in calls)


def _range(gradients: list[list[Array]], i: int) -> float:
    values = np.array([g[i] for g in gradients])
    largest = float(np.abs(values).max(initial=0.0))
    return float(np.ptp(values, axis=0).max(initial=0.0)) / largest if largest else 0.0


class _CallingContext(Context):
    """A context that notes the calls of layers without children."""

    __slots__ = ("given", "noted")

    def child(self, layer: Any) -> _CallingContext:
        """Return a context that notes into the same list."""
        child = _CallingContext(layer, self.recording, self.training, self._rng)
        child.noted = self.noted
        return child

    def run(self, *inputs: Any) -> Any:
        """Run the layer; note what it was given."""
        self.given = [x if x is None else np.array(x) for x in inputs]
        return super().run(*inputs)

    def backward(self, *grads: Any, **options: Any) -> Any:
        """Run backward; note what it was given."""
        if not self.layer._layers:
            kept = [g if g is None else np.array(g) for g in grads]
            self.noted.append((self.layer, self.given, kept, self.training))
        return super().backward(*grads, **options)


def _leaf_calls(function: LayerFunction) -> Iterator[Any]:
    noted: list[Any] = []

    class Noting(_CallingContext):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            self.noted = noted

    function.gradients(function.split(function.upstream[0]), Noting)
    return iter(noted)


def _leaf_is_right(layer: Any, inputs: list[Any], grads: list[Any], training: bool) -> bool:
    if any(g is None for g in grads):
        return True
    upstream = np.concatenate([g.reshape(-1) for g in grads])[None]
    if not upstream.any():
        return True
    try:
        function = LayerFunction(copy.deepcopy(layer), inputs, training=training, upstream=upstream)
    except Exception:  # it needs what only its model gives it
        return True
    kink = Kink(function)
    sizes = [np.where(v != 0, np.abs(v), typical_size(v)) for v in function.variables]
    if not kink.gradient or not function.variables:
        return True
    return kink._is_right(kink.gradient, sizes) or kink.accepts()
