"""What backward may take for the derivative of an expression, as changes of forward."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Callable, Collection, Iterator
from typing import Any

import numpy as np

from npnet.gradcheck.diagnosis.expressions import Apply, Change, Expressions
from npnet.gradcheck.diagnosis.order import orders
from npnet.typing import Array

_ELEMENTS = 2_000  # of an array of which other orders are tried
_REGION = "a condition: zero in a region"
_KNOWN = {"tanh": "1 - y y of its value y", "sigmoid": "y (1 - y) of its value y",
          "abs": "the sign", "relu": _REGION, "maximum": _REGION, "minimum": _REGION,
          "clip": _REGION, "where": _REGION}  # fmt: skip
_SLOPES: dict[str, Callable[[Array], Any]] = {
    "missing, as a factor": lambda y: 1,
    "taken for its value y": lambda y: y,
    "taken for y (1 - y) of its value y": lambda y: y * (1 - y),
    "taken for 1 - y y of its value y": lambda y: 1 - y * y,
}
Changes = Iterator[tuple[str, Change]]


def simple(source: Expressions, k: int) -> Changes:
    """Yield changes of the expression with number `k`, and what they mean."""
    e, values = source.found[k], source.values[k]
    if not values[0].ndim and isinstance(e.node, ast.Constant | ast.Attribute):
        whole = next((o.node for o in source.found if k in o.parts), None)
        factor = isinstance(getattr(whole, "op", None), ast.Mult | ast.Div)
        where = f"`{e.text}`" if isinstance(e.node, ast.Attribute) else source.shown(k)
        yield from _numbers(values, where, ": that factor is missing" * factor)
    if isinstance(e.node, ast.Call):
        yield from _functions(source, k)
    yield from _factors(source, k, turned=False)


def orders_of(source: Expressions, k: int) -> Changes:
    """Yield changes of the order of what comes through an expression, or of a factor in it."""
    e, values = source.found[k], source.values[k]
    yield from _factors(source, k, turned=True)
    if values[0].size <= _ELEMENTS and isinstance(e.node, ast.Call | ast.Attribute | ast.Subscript):
        yield from _turned(values, source.shown(k))


def _floating(source: Expressions, k: int) -> dict[int, int]:
    """Return the numbers of the parts, by their place, that are floating."""
    pairs = enumerate(source.found[k].parts)
    return {i: p for i, p in pairs if p is not None and source.values[p]
            and all(v is not None for v in source.values[p])}  # fmt: skip


def _numbers(values: list[Array], where: str, factor: str) -> Changes:
    """A number of forward that backward forgets or takes for another."""
    if any(v.ndim or v != values[0] for v in values):
        return
    v = float(values[0])
    others = ((0, "0"), (1, f"1{factor}"), (1 - v, "1 minus that"), (2 * v, "twice that"),
              (v / 2, "half of that"), (v * v, "its square"), (np.sqrt(abs(v)), "its root"),
              (-v, "minus that"))  # fmt: skip
    for other, words in others:
        if other != v:
            yield f"is what it would be if {where} were {words}", held([other] * len(values))


def times(source: Expressions, k: int) -> Changes:
    """Only the first or last of several times counts, or one is missing."""
    values, count = source.values[k], len(source.values[k])
    several = [("counts in the last alone", range(count - 1)),
               ("counts in the first alone", range(1, count)),
               ("is missing in the last", (count - 1,)), ("is missing in the first", (0,)),
               *((f"counts only from no. {j + 1} on,", range(j)) for j in range(2, count - 1)),
               *((f"is missing in no. {j + 1}", (j,)) for j in range(1, count - 1))]  # fmt: skip
    for words, still in several if count > 1 else ():
        often = f"{words} of the {count} times (steps) that it is computed"
        yield f"is wrong: what comes through {source.shown(k)} {often}", held(values, still)


def held(values: list[Any], still: Collection[int] | None = None) -> Change:
    """Return the change that takes an expression for a constant, at some of its times or all."""
    return lambda f, p, j: values[j] if still is None or j in still else f(*p)


def _functions(source: Expressions, k: int) -> Changes:
    """The derivative of a function is forgotten or mistaken, or that along another axis."""
    e, values = source.found[k], source.values[k]
    floating = _floating(source, k)
    for i, part in floating.items():
        first = source.values[part]
        if [v.shape for v in first] == [v.shape for v in values]:
            name = e.text.split("(")[0].split(".")[-1]
            known = f" ({_KNOWN[name]})" if name in _KNOWN else ""
            for words, slope in _SLOPES.items():
                text = f"is wrong: the derivative of {source.shown(k)}{known} is {words}"
                yield text, _sloped(values, i, first, slope)
    if e.text.startswith("np.where(") and len(e.parts) == 3:

        def inverted(f: Apply, p: Any, j: int) -> Any:
            first = [source.values[floating[i]][j] if i in floating else p[i] for i in (1, 2)]
            return values[j] + f(~p[0], *p[1:]) - f(~p[0], *first)

        yield f"is wrong: in {source.shown(k)} the condition is inverted", inverted


def _sloped(values: list[Array], i: int, first: list[Array], slope: Any) -> Change:
    return lambda f, p, j: values[j] + slope(values[j]) * (p[i] - first[j])


def _factors(source: Expressions, k: int, turned: bool) -> Changes:
    """The derivative by one part is taken with something else in the place of another."""
    e, floating = source.found[k], _floating(source, k)
    by_itself = isinstance(e.node, ast.Call) and len(floating) == 1
    if not isinstance(e.node, ast.Call | ast.BinOp) or e.text.startswith("ctx."):
        return
    if isinstance(getattr(e.node, "op", None), ast.Add | ast.Sub):
        return

    def change(i: int, j: int, others: list[Array]) -> Change:
        def changed(f: Apply, p: Any, n: int) -> Any:
            first = [source.values[floating[m]][n] if m in floating else v
                     for m, v in enumerate(p)]  # fmt: skip
            rest, here, there = list(p), list(first), list(first)
            rest[i] = first[i]
            here[j] = there[j] = others[n]
            there[i] = others[n] + p[i] - first[i] if i == j else p[i]
            return f(*rest) + f(*there) - f(*here)

        return changed

    for (i, of), (j, by) in itertools.product(floating.items(), floating.items()):
        if (i == j) != by_itself:
            continue
        values, its = source.values[by], source.found[by].text
        where = f"is wrong: in {source.shown(k)} the derivative by `{source.found[of].text}`"
        if turned and i != j and values[0].ndim > 1 and values[0].size <= _ELEMENTS:
            for words, order in _orders(values):
                others = [v.reshape(-1)[order].reshape(v.shape) for v in values]
                if not all(map(np.array_equal, others, values)):
                    yield f"{where} has `{its}` {words}", change(i, j, others)
        if turned:
            continue
        if i != j and isinstance(e.node, ast.BinOp) and not isinstance(e.node.op, ast.MatMult):
            ones = [np.ones_like(v) for v in values]
            yield f"{where} lacks the factor `{its}`", change(i, j, ones)
        seen = [values]
        for n, others in enumerate(source.values):
            alike = len(others) == len(values) and all(
                o is not None and o.shape == v.shape for o, v in zip(others, values, strict=True)
            )
            if alike and not any(all(map(np.array_equal, others, s)) for s in seen):
                seen.append(others)
                words = f"{source.shown(n)} in place of `{its}`{_relation(source, n, by, of)}"
                yield f"{where} {'is taken at' if i == j else 'has'} {words}", change(i, j, others)


def _relation(source: Expressions, n: int, by: int, of: int) -> str:
    """Say what something is to what it stands for."""
    text, whole = source.found[n].text, source.found[by]
    pieces = [source.found[q].text for q in whole.parts if q is not None]
    if isinstance(getattr(whole.node, "op", None), ast.Mult) and text in pieces:
        pieces.remove(text)
        return f": the factor `{pieces[0]}` is missing"
    if all(map(np.array_equal, source.values[n], source.values[of])):
        return ": the factors are exchanged"
    later = source.values[by][1:]
    shifted = later and all(map(np.array_equal, source.values[n], later))
    return ": it is that of the next step, shifted by one" if shifted else ""


def _orders(values: list[Array]) -> Iterator[tuple[str, Array]]:
    shape = values[0].shape
    if all(v.shape == shape for v in values):
        yield from ((w, s) for w, s in orders(shape) if (s >= 0).all())


def _turned(values: list[Array], where: str) -> Changes:
    """What comes back through it is in another order, averaged or summed."""
    for words, source_of in _orders(values) if values[0].ndim else ():
        text = f"is wrong: what comes through {where} is {words}: its order is mistaken"
        yield text, _reordered(values, source_of)


def _reordered(values: list[Array], at: Array) -> Change:
    return lambda f, p, j: values[j] + (f(*p) - values[j]).reshape(-1)[at].reshape(values[j].shape)
