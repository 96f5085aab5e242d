"""Which gradients are right at a kink, where the derivative does not exist.

Right are the limits of the gradients nearby and what lies between them (Clarke's generalised
gradient). Points nearby are drawn, backward is verified at each by a difference, and the gradient
at the kink is compared with those along joint directions: a maximum that gives every tied element
the whole gradient is wrong, though each of its elements alone could be right.

The chain rule composes such gradients: relu(x) - relu(-x) is x, smooth at 0, where every framework
returns 0. So a model is right if it is right nearby, and each layer at its own kink.

References
----------
F. H. Clarke, "Optimization and nonsmooth analysis", Wiley (1983), chapter 2.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np

from npnet.context import Context
from npnet.gradcheck.numeric.differences import ROUNDING
from npnet.gradcheck.numeric.function import EPS, Function, direction_line, sample, typical_size
from npnet.typing import Array

# How far nearby points are, relative to the variables, and the steps of differences there.
_SCALES = ((2.0**-14, 2.0**-30), (2.0**-22, 2.0**-34))
_CLOSE = 1e-3  # by how much the gradient on one side of a kink varies, as a share of the largest
_CURVED = 32.0  # and of what the largest contributes to a slope, times how far points are away
_OUTPUTS = 64  # at most so many are looked at one by one
_MARGIN = 0.1  # share of the width of many pieces' slopes by which a value may lie outside
_MANY = 8  # jumping elements, beyond which points nearby do not meet every piece
_DIRECTIONS = 8
_ORDERED = 8  # nearby points that are shifted in an order, as ties are often broken
_POINTS = (12, 48, 192)  # nearby points, more as long as the answer is no


class Kink:
    """The point of a function, where its gradient may jump."""

    def __init__(self, function: Function) -> None:
        self.function = function
        self._ends = np.cumsum([v.size for v in function.variables])
        self._sizes = [np.where(v != 0, np.abs(v), typical_size(v)) for v in function.variables]
        self.here = self._gradient()
        self._pieces: list[Array] = []
        self.tried = 0  # points nearby; without any, nothing can be refused
        self._away, self._step = _SCALES[0]
        self._rng = np.random.default_rng(3)

    def _gradient(self) -> Array:
        found = self.function.analytic(self.function.upstream[:1])
        nothing = np.full((self._ends[-1], 1), np.nan)
        return np.concatenate([nothing] if found is None else found)[:, 0]

    def is_right(self, by_output: bool = True) -> bool:
        """Tell whether the gradient is right here because there is no kink, or in spite of one."""
        return self._agrees(self.here) or self.accepts(by_output)

    def accepts(self, by_output: bool = True) -> bool:
        """Tell whether the gradient is right at a kink: by pieces, outputs, or the chain rule."""
        if not np.isfinite(self.here).all():
            return False
        for self._away, self._step in _SCALES:
            self._pieces, self.tried = [], 0
            self._visit(_POINTS[0])
            if 2 * len(self._pieces) < self.tried:
                return False
            if self.jumping().any() and (self._follows_chain_rule() or self._lies_between()):
                return True
        return by_output and bool(self.jumping().any()) and self._is_right_by_output()

    def _is_right_by_output(self) -> bool:
        """Tell whether the gradient of every output alone is right: they may share a kink."""
        function, upstream = self.function, self.function.upstream
        chosen = np.flatnonzero(upstream[0])
        if chosen.size < 2 or function.is_loss:
            return False
        try:
            for j in chosen[sample(chosen.size, _OUTPUTS, self._rng)]:
                function.upstream = np.eye(1, function.here.size, int(j))
                if not Kink(function).is_right(by_output=False):
                    return False
        finally:
            function.upstream = upstream
        return True

    # --- elements

    def _scaled(self) -> tuple[Array, Array, Array]:
        """Return the pieces and the gradient here, in units of each element's largest."""
        pieces = np.array(self._pieces or [self.here])
        highest = np.maximum(np.abs(pieces).max(axis=0), np.abs(self.here))
        unit = np.where(highest == 0, 1.0, highest)
        sizes = np.concatenate([s.reshape(-1) for s in self._sizes])
        curved = _CURVED * self._away * (highest * sizes).max(initial=0.0) / (sizes * unit)
        return pieces / unit, self.here / unit, curved

    def of(self, variable: int) -> slice:
        """Say where the elements of a variable are."""
        return slice(self._ends[variable - 1] if variable else 0, self._ends[variable])

    def jumping(self) -> Array:
        """Mark the elements whose gradient differs between the pieces, or from the one here."""
        pieces, here, curved = self._scaled()
        width = np.ptp(np.concatenate([pieces, here[None]]), axis=0)
        return np.asarray(width > 10 * _CLOSE + curved / 8)

    def outside(self) -> Array:
        """Mark the elements whose gradient is beyond that of every piece."""
        pieces, here, curved = self._scaled()
        slack = _CLOSE + curved + self._margin * np.ptp(pieces, axis=0)
        below, above = here < pieces.min(axis=0) - slack, here > pieces.max(axis=0) + slack
        return np.asarray(below | above)

    @property
    def _margin(self) -> float:
        return _MARGIN if np.count_nonzero(self.jumping()) > _MANY else 0.0

    def fault(self, variable: int) -> str:
        """Say how the gradient of a variable is wrong at the kink."""
        chosen = self.of(variable), self.jumping()[self.of(variable)]
        pieces, here, _ = self._scaled()
        size, sizes = (np.abs(g[..., chosen[0]][..., chosen[1]]).sum(-1) for g in (here, pieces))
        if size > 1.2 * sizes.max():
            return (
                "adds up to more than any gradient nearby: of several equal elements, each gets "
                "the whole gradient; it belongs to one of them, or must be shared"
            )
        if size < 0.8 * sizes.min():
            return (
                "adds up to less than any gradient nearby: none of several equal elements gets it"
            )
        return "is neither one of the gradients nearby, nor between them"

    # --- points nearby

    def _visit(self, count: int) -> None:
        """Add pieces until so many points are tried: gradients that a difference verifies."""
        function = self.function
        with function.restored() as kept:
            while self.tried < count:
                for v, k, offset in zip(function.variables, kept, self._offsets(), strict=True):
                    v[...] = k + self._away * offset
                self.tried += 1
                piece = self._gradient()
                if self._agrees(piece):
                    self._pieces.append(piece)

    def _offsets(self) -> list[Array]:
        """Shift in the order of the elements, the first variable against the others; or anyhow."""
        k, found = self.tried, []
        for v, size in enumerate(self._sizes):
            pattern = self._rng.uniform(-1.0, 1.0, size.shape)
            if k < _ORDERED:
                places = np.arange(size.size) + self._rng.uniform(0.0, 0.5, size.size)
                ramp = 0.5 + 0.5 * places.reshape(size.shape) / max(1, size.size)
                ramp = 1.5 - ramp if k & 1 else ramp
                sign = -1.0 if bool(k & 2) != (bool(k & 4) and v == 0) else 1.0
                pattern = sign * self._rng.uniform(0.5, 1.0) * ramp
            found.append(size * pattern)
        return found

    def _agrees(self, gradient: Array) -> bool:
        """Verify a gradient at the variables' present values along one direction."""
        function, step = self.function, self._step
        moves = [s * self._rng.choice([-1.0, 1.0], s.shape) for s in self._sizes]
        line = direction_line(function.variables, moves)
        y, _ = function.rows([line], np.array([[step, -step]]))
        change = (y[0, 0] - y[0, 1]) / (2 * step)
        weights = function.weights[0]
        rounding = ROUNDING * EPS * (weights @ np.abs(y[0, 0])) / step
        along = float(np.concatenate([m.reshape(-1) for m in moves]) @ gradient)
        size = max(float(weights @ np.abs(change)), abs(along))
        # A difference that is lost in rounding decides nothing.
        return bool(abs(function.upstream[0] @ change - along) <= 1e-4 * size + 16 * rounding)

    def _lies_between(self) -> bool:
        """Compare along joint directions: random ones, everything at once, each variable alone."""
        alone = np.zeros((1 + len(self._ends), self._ends[-1]))
        for i, direction in enumerate(alone):
            direction[self.of(i) if i < len(self._ends) else ...] = 1.0
        random = self._rng.normal(size=(_DIRECTIONS, self._ends[-1]))
        directions = np.concatenate([alone, random])
        for points in _POINTS:
            self._visit(points)
            pieces, here, curved = self._scaled()
            at, own = pieces @ directions.T, here @ directions.T
            size = (np.abs(pieces) @ np.abs(directions).T).max(axis=0)
            slack = _CLOSE * size + np.abs(directions) @ curved
            slack += self._margin * np.ptp(at, axis=0)
            between = (own >= at.min(axis=0) - slack) & (own <= at.max(axis=0) + slack)
            if between.all() and not self.outside().any():
                return True
        return False

    def _follows_chain_rule(self) -> bool:
        """Tell whether each layer of a model is right at its own point."""
        function = self.function
        if not function.layer._layers:
            return False
        found: list[bool] = []

        class Judging(Context):
            """A context that judges the layers without children."""

            __slots__ = ("inputs",)

            def child(self, layer: Any) -> Context:
                return Judging(layer, self.recording, self.training, self._rng)

            def run(self, *inputs: Any) -> Any:
                self.inputs = [np.array(x) for x in inputs]
                return super().run(*inputs)

            def backward(self, *grads: Any, **options: Any) -> Any:
                if not self.layer._layers and all(g is not None for g in grads):
                    found.append(_layer_is_right(self, grads))
                return super().backward(*grads, **options)

        function.gradients(function.split(function.upstream[0]), Judging)
        return bool(found) and all(found)


def _layer_is_right(ctx: Any, grads: Sequence[Array]) -> bool:
    upstream = np.concatenate([np.ravel(g) for g in grads])[None]
    layer, training = copy.deepcopy(ctx.layer), ctx.training
    try:
        function = Function(layer, ctx.inputs, training=training, upstream=upstream)
    except Exception:  # it needs what only its model gives it
        return True
    return not function.variables or not upstream.any() or Kink(function).is_right()
