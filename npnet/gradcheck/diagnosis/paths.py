"""Paths: the expression of forward whose derivative backward lacks, or has wrong.

Forward is run with one expression changed: taken for a constant, or with another derivative. If
the slopes then are what backward says, this is what backward does.
"""

from __future__ import annotations

import ast
import itertools
import re
from typing import Any

import numpy as np

from npnet.gradcheck.diagnosis import changes
from npnet.gradcheck.diagnosis.expressions import Change, Expressions
from npnet.gradcheck.diagnosis.matrices import Case, Found, jacobians, remade
from npnet.gradcheck.diagnosis.places import factor_words, listed
from npnet.gradcheck.passes import parts
from npnet.typing import Array

_STEP = 2.0**-12
_REDUCTIONS = ("mean(", "sum(", "var(", "std(", "norm(", "max(", "softmax(", "call(")


class _Paths:
    """Slopes of all outputs along moves of a tensor, of a forward with one expression changed."""

    def __init__(self, case: Case) -> None:
        p = case.here
        self.subject: Any = remade(case.subject)
        x = self.subject.variables[case.number]
        if not p.is_input and x.size and np.ptp(x) == 0:  # of zeros or ones little is seen
            x += 0.3 * np.random.default_rng(5).normal(size=x.shape)
            p = jacobians(self.subject, case.number, p.indices, case.budget)
        pairs = zip(parts(self.subject.layer), parts(case.subject.layer), strict=True)
        copies = [c for (_, c), (_, o) in pairs if c is not o]  # and not the user's own
        self.source = Expressions(copies)
        self.source.keep(self.subject.here_now)
        values = [v for of_one in self.source.values for v in of_one]
        sizes = sum(np.size(v) for v in values)
        self.budget, self.evaluations = case.budget, 50 + len(values) + sizes // 200
        self.variable = self.subject.variables[case.number].reshape(-1)
        self.indices, self.columns, self.outputs = p.indices, p.columns, p.output_number
        count, typical = 6 if p.columns.size < 4 else 2, np.abs(self.variable).mean() or 1.0
        self.moves = np.random.default_rng(3).normal(size=(count, p.indices.size)) * typical
        known = p.known.all(axis=0)
        wrong, true = (self.moves @ np.where(known, m, 0) for m in (p.a, p.t))
        self.true = self._slopes(-1, None, count)
        size = np.abs(self.true[np.isfinite(self.true)]).max(initial=0)
        self.sure = known & (np.abs(self.true - true) <= 1e-6 * size).all(axis=0)
        self.off = (wrong - true)[:, self.sure]
        self.size = np.abs(true[:, self.sure]).max(initial=0)
        self.several = min(count, p.indices.size) * int(self.sure.sum()) > 2

    def _slopes(self, number: int, change: Change | None, count: int) -> Array:
        """Return slopes along the first moves, (moves, columns)."""
        start, found = self.variable.copy(), []
        try:
            for move in self.moves[:count]:
                values = []
                for step in (1, -1, 0.5, -0.5) if count > 1 else (1, -1):
                    self.budget.take(self.evaluations, of="expressions")
                    self.variable[self.indices] = start[self.indices] + step * _STEP * move
                    self.source.change(number, change)
                    values.append(self.subject.here_now()[self.columns])
                wide = (values[0] - values[1]) / 2
                found.append((4 * (values[2] - values[3]) - wide) / 3 if count > 1 else wide)
        finally:
            self.variable[...] = start
            self.source.change(-1, None)
        return np.array(found) / _STEP

    def effect(self, number: int, change: Change, roughly: bool = True) -> Array:
        """Return what a change does to the slopes; infinite if it cannot be made."""
        count = 1 if roughly else len(self.moves)
        try:
            d = self._slopes(number, change, count) - self.true[:count]
        except Exception:  # of forward, at values that it never meets
            d = np.full((count, self.columns.size), np.inf)
        return np.asarray(np.nan_to_num(d, nan=np.inf)[:, self.sure])

    def is_cause(self, number: int, change: Change) -> bool:
        """Whether with the change the slopes are those of backward."""
        for roughly in (True, False):
            off = self.off[: 1 if roughly else None]
            share, noise = (1e-3, 1e-6) if roughly else (1e-6, 1e-10)
            allowed = share * np.abs(self.off).max(initial=0) + noise * self.size
            if not np.abs(self.effect(number, change, roughly) - off).max(initial=0) <= allowed:
                return False
        return True

    def fit(self, numbers: tuple[int, ...], effects: dict[int, Array]) -> Array | None:
        """Return by how much of what comes through some expressions backward is off."""
        off, parts = self.off[:1], [effects[k] for k in numbers]
        for allowed in (1e-3, 1e-6):
            design = np.stack([d.reshape(-1) for d in parts], axis=1)
            c, _, rank, _ = np.linalg.lstsq(design, off.reshape(-1), rcond=1e-9)
            away = np.abs(design @ c - off.reshape(-1)).max()
            if rank < len(numbers) or not away <= allowed * np.abs(off).max():
                return None
            off = self.off
            if allowed > 1e-6:
                parts = [
                    self.effect(k, changes.held(self.source.values[k]), False) for k in numbers
                ]
        return np.asarray(c)

    def is_squared(self, number: int) -> bool:
        """Whether it is one of the two factors of a square."""
        found = self.source.found
        return any(number in e.parts and len({found[p].text for p in e.parts if p is not None}) == 1
                   for e in found if isinstance(e.node, ast.BinOp))  # fmt: skip

    def of_outputs(self) -> str:
        """Name the outputs through which it is wrong, if it is not through all."""
        number, bad = self.outputs[self.sure], np.abs(self.off).max(axis=0) > 1e-9 * self.size
        wrong, every = np.unique(number[bad]).tolist(), np.unique(number)
        return f" (in what comes from output {listed(wrong)})" if len(wrong) < every.size else ""

    def clearest(self, numbers: list[int]) -> int:
        """Return of expressions that mean the same the one that says most."""

        def rank(k: int) -> tuple[bool, bool, bool, int]:
            e, plain = self.source.found[k], (ast.Name, ast.Attribute, ast.Constant)
            fits, helper = len(e.text) < 100, e.function not in ("forward", "terms")
            sums = fits and any(r in e.text for r in _REDUCTIONS)
            return not isinstance(e.node, plain), not helper, sums, fits * len(e.text)

        return max(numbers, key=rank)

    def said(self, share: float, *numbers: int) -> Found:
        """Say that what comes through expressions is multiplied by something, or missing."""
        through = " and through ".join(map(self.source.shown, numbers))
        if abs(share) > 1e-6:
            near = ": a constant is a little off" * (abs(share - 1) < 1e-3)
            text = f"is wrong by a factor in what comes through {through}{self.of_outputs()}"
            return "missing factor", f"{text}: that is {factor_words(share)}{near}"
        count = len(self.source.values[numbers[0]])
        often = f", each of the {count} times (steps) that it is computed" if count > 1 else ""
        taken = "they are taken for constants" if numbers[1:] else "it is taken for a constant"
        text = f"lacks what comes through {through}{often}{self.of_outputs()}"
        return "missing term", f"{text}: this path (term) is missing, {taken}"


def expression(case: Case) -> Found:
    """An expression of forward is taken for a constant, or its derivative is wrong."""
    paths = _Paths(case)
    source, effects = paths.source, dict[int, Array]()
    if not paths.off.any():
        return None
    usable = [k for k, v in enumerate(source.values) if v and all(x is not None for x in v)]
    for k in usable:
        d = paths.effect(k, changes.held(source.values[k]))
        if np.isfinite(d).all() and np.abs(d).max(initial=0) > 1e-5 * paths.size:
            effects[k] = d
        elif "max(" in source.found[k].text and ".max(" in source.found[k].text:
            source.still.add(k)  # subtracted against overflow
    shares = {k: 1 - float(c[0]) for k in effects if (c := paths.fit((k,), effects)) is not None}
    missing = [k for k, c in shares.items() if abs(c) < 1e-6]
    squares = [k for k in missing if paths.is_squared(k)]
    if missing and (len(squares) < len(missing) or len(shares) == len(missing)):
        return paths.said(0.0, paths.clearest(missing))
    alike: dict[int, list[int]] = {}  # expressions with the same effects, by the first of them
    for k, d in effects.items():
        near = 1e-5 * np.abs(d).max()
        same = (first for first in alike if np.abs(effects[first] - d).max() <= near)
        alike.setdefault(next(same, k), []).append(k)
    clearest = list(map(paths.clearest, alike.values()))
    ordered = [k for k in usable if k in effects or not source.values[k][0].ndim]
    ordered.sort(key=lambda k: source.found[k].text.startswith("self."))
    stages = itertools.chain(
        ((k, changes.times) for k in dict.fromkeys([*clearest, *alike])),
        ((k, changes.simple) for k in ordered),
        ((k, changes.orders_of) for k in ordered if k in effects),
    )
    for k, tried in stages:
        for words, change in tried(source, k):
            if paths.is_cause(k, change):
                return _kind(words), words + paths.of_outputs()
    if not paths.several:
        return None
    if shares:
        k = paths.clearest([k for k in shares if k not in missing])
        return paths.said(shares[k], k)
    for pair in itertools.combinations(clearest, 2):
        c = paths.fit(pair, effects)
        if c is not None and np.ptp(c) < 1e-6:
            return paths.said(1 - c[0], *pair)
    return None


def _kind(words: str) -> str:
    if re.search("transposed|flipped|shifted|exchanged", words):
        return "transposed"
    if "would be if" in words:
        return "factor"
    return "missing factor" if "factor" in words else "missing term"
