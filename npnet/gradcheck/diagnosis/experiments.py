"""Experiments: what must be left out, frozen, turned or made trivial for backward to be right."""

from __future__ import annotations

import copy
import functools
import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from npnet.gradcheck.diagnosis.case import Case, Change, remade, set_option, unchanged
from npnet.gradcheck.diagnosis.matrices import Found, options
from npnet.typing import Array


def chain(case: Case) -> Found:
    """A chain of children run back in the wrong order, or without one of them."""
    subject: Any = remade(case.subject)
    layer, names = subject.checked, {}
    if not case.is_loss:
        names = {id(v): f"child {k!r} ({type(v).__name__})" for k, v in layer.named_layers()}
    if len(subject.inputs) != 1 or not names:
        return None

    def fits(order: Callable[[list[Any]], list[Any]], wanted: Array) -> list[Any]:
        """Return the calls if gradients that go through them in this order are those wanted."""
        case.budget.take(1)
        ctx = subject.context()
        layer.zero_grad()
        try:
            layer.forward(ctx, subject.inputs[0].copy())
            calls, grad = list(ctx.calls), subject.split(case.upstream[0])
            grad = grad[0] if len(grad) == 1 else tuple(grad)
            for call in order(calls):
                grad = call.backward(grad)
            grad = subject.parameters[case.name].grad if case.name in subject.parameters else grad
            found = np.zeros(case.size) if grad is None else np.reshape(grad, -1)
            off = np.abs(found[case.indices] - wanted)[case.usable].max()
        except Exception:  # no such chain
            return []
        return calls if off <= 1e-6 * np.abs(wanted).max() else []

    wrong = case.analytic[:, 0]
    calls = fits(lambda calls: calls[::-1], case.numeric[:, 0])
    if len(calls) > 1 and fits(lambda calls: calls, wrong):
        text = "runs its children in the order of forward; it must go in reverse: {} is wrong"
        return "missing factor", f"the backward pass {text}"
    for i, call in enumerate(calls):
        if fits(lambda calls, i=i: calls[:i:-1] + calls[:i][::-1], wrong):  # type: ignore[misc]
            child = names.get(id(call.layer), "a child")
            return "missing factor", f"the backward pass leaves out {child}: {{}} is wrong"
    return None


def children(case: Case) -> Found:
    """A child through which nothing or too much comes back."""
    parts = {} if case.is_loss else dict(case.subject.checked.named_layers())
    for name in (n for n in parts if n and n.count(".") < 2):
        try:
            a, t = case.slopes()
            _, rest = case.slopes(functools.partial(_freeze, name=name))
        except Exception:  # it cannot be frozen
            continue
        size, through = np.abs(t).max(), t - rest
        if min(np.abs(through).max(), np.abs(rest).max()) <= 1e-6 * size:
            continue
        c = float((a - t) @ through / (through @ through))
        if abs(c) > 1e-6 and np.abs(a - t - c * through).max() <= 1e-7 * size:
            what = f"what comes through child {name!r} ({type(parts[name]).__name__})"
            lost = abs(c + 1) < 1e-6
            text = f"lacks {what}: the path through it is missing"
            return "missing term", text if lost else f"has {what} {c + 1:.6g} times, not once"
    return None


def _freeze(layer: Any, name: str) -> None:
    """Let a child return what it did at first."""
    child, kept = dict(layer.named_layers())[name], list[Any]()
    forward = child.forward

    def frozen(ctx: Any, *inputs: Any) -> Any:
        kept.append(forward(ctx, *inputs))  # which saves what its backward needs
        return copy.deepcopy(kept[0])

    object.__setattr__(child, "forward", frozen)


def parameter_turned(case: Case) -> Found:
    """Backward is right if a parameter is transposed or flipped between the passes."""
    subject, true = case.subject, case.numeric[:, 0]
    for name, v in ((n, p.data) for n, p in subject.parameters.items() if p.data.ndim > 1):
        kernels = []
        for c in case.subject.inputs[0].shape[1:2] if v.ndim == 2 and not case.is_loss else ():
            k = math.isqrt(v.shape[1] // c)
            if c * k * k == v.shape[1]:
                kernels = [v.reshape(-1, c, k, k).swapaxes(2, 3).reshape(v.shape)]
        for words, turned in (
            ("transposed", v.swapaxes(-1, -2)),
            ("transposed in its first two axes", v.swapaxes(0, 1)),
            ("flipped along its last axes", np.flip(v, tuple(range(2, v.ndim)))),
            *(("as a kernel with i and j exchanged", k) for k in kernels),
            *(("rolled by one along its last axis", np.roll(v, k, -1)) for k in (1, -1)),
            *_exchanged_parts(v),
        ):
            if turned.shape != v.shape or np.array_equal(turned, v):
                continue
            with subject.restored():
                between = functools.partial(np.copyto, v, turned.copy())
                found = case.gradient(case.upstream[0], between)[case.indices]
            off = np.abs(found - true)[case.usable].max()
            if found.any() and off <= 1e-6 * np.abs(true).max():
                why = "forward and backward read it in different orders"
                return "transposed", f"would be right with {name} {words}: {why}"
    return None


def _exchanged_parts(v: Array) -> Iterator[tuple[str, Array]]:
    for axis, count in itertools.product(range(v.ndim), (2, 3, 4)):
        size = v.shape[axis] // count
        for i, j in itertools.combinations(range(count), 2) if v.shape[axis] % count == 0 else ():
            order = np.arange(count)
            order[[i, j]] = j, i
            rows = (order[:, None] * size + np.arange(size)).reshape(-1)
            words = f"with parts {i} and {j} of {count} along axis {axis} exchanged"
            yield words, np.take(v, rows, axis)


def instead(case: Case) -> Found:
    """Backward is right for a layer with another option, or something else for a tensor."""
    wrong, true = case.slopes()
    most = min(1e-6 * np.abs(wrong).max(), 1e-3 * np.abs(wrong - true).max())
    for _, what, change, inputs in (*_options(case), *_tensors(case), *_turned(case)):
        try:
            t = case.slopes(change, inputs)[1]
        except Exception:  # a layer need not take what it was not given
            continue
        t *= -1 if "sign" in what and t[0] * wrong[0] < 0 else 1
        if wrong.all() and np.abs(t - wrong).max() <= most:
            return "factor" if "=1" in what else "missing term", f"is what it would be {what}"
    return None


def _turned(case: Case) -> Iterator[_Trial]:
    pairs = list(zip(case.subject.names, case.subject.variables, strict=True))
    for name, v in pairs:
        trials = []
        if name != case.name:
            trials += [("with its sign turned: a condition on its sign is inverted", -v)]
            trials += [(f"taken for {n}: one stands for the other", w) for n, w in pairs
                       if n != name and w.shape == v.shape]  # fmt: skip
            below = np.floor(v)
            trials += [("with w and 1 - w exchanged (w is its fraction)", 2 * below + 1 - v)]
            for k in range(v.ndim):
                back, along = np.flip(v, k), f"along axis {k}"
                trials += [(f"flipped {along}", back)]
                trials += [(f"shifted by one {along}", np.roll(v, by, k)) for by in (1, -1)]
                trials += [(f"read backwards {along} (its conjugate)", np.roll(back, 1, k))]
        for how, value in trials:
            if not np.array_equal(value, v):
                yield "", f"with {name} {how}", *_with(case, name, value)


def _with(case: Case, name: str, value: Array) -> tuple[Change, Any]:

    def change(layer: Any) -> None:
        if name in case.subject.parameters:
            dict(layer.named_parameters())[name].data[...] = value

    old = case.subject.variables[case.subject.names.index(name)]
    return change, tuple(value if x is old else x for x in case.subject.given)


def made_trivial(case: Case) -> Found:
    """Right once an option, a parameter, another input or a length plays no part."""
    for words, _, change, inputs in (*_options(case), *_tensors(case), *_lengths(case)):
        many = inputs if isinstance(inputs, list) else [inputs]
        both = (change, functools.partial(_stirred, change=change))
        if all(case.is_cured(c, given) for c in both for given in many):
            return "missing term", words
    return None


def _stirred(layer: Any, change: Change) -> None:
    """Change the layer at other parameters: some are zero or one, where little can be seen."""
    rng = np.random.default_rng(4)
    for p in layer.parameters() if hasattr(layer, "parameters") else ():
        p.data += 0.3 * rng.normal(size=p.data.shape)
    change(layer)


# What is said if it cures backward, or is what backward takes for the layer; a change of the
# layer, and one or several inputs.
_Trial = tuple[str, str, Change, Any]


def _options(case: Case) -> Iterator[_Trial]:
    for name, value in options(case.subject.checked):
        others: list[Any] = []
        if isinstance(value, bool):
            others = [not value]
        elif isinstance(value, int | float):
            others = [type(value)(k) for k in (0, 1)] + [1 - value] * (0 < value < 1)
        elif isinstance(value, np.ndarray) and value.dtype.kind == "f":
            others = [np.full_like(value, k) for k in (1, 0)]
        for other in others:
            if not np.array_equal(other, value):
                shown = f"{np.ravel(other)[0]:g}" if np.size(value) > 1 else other
                words = f"is right with {name}={shown}: backward handles {name} otherwise"
                set_other = functools.partial(set_option, name=name, value=other)
                what = f"with {name}={shown}: {name} is forgotten"
                if not np.ndim(value) and value not in (0, 1) and other == 1 - value:
                    what = f"with {name} and 1 - {name} exchanged"
                yield words, what, set_other, None


def _tensors(case: Case) -> Iterator[_Trial]:
    """Set parameters and other inputs to one, or to zero."""
    own, mine = case.name in case.subject.parameters, case.analytic[:, 0]
    for name, v in zip(case.subject.names, case.subject.variables, strict=True):
        with case.subject.restored():
            v *= 1.7
            moved = case.gradient(case.upstream[0])[case.indices] - mine
        used = np.abs(moved).max() > 1e-9 * np.abs(mine).max()
        for fill, of in (1.0, f"ones: the factor {name}"), (0.0, f"zeros: the path through {name}"):
            unsure = used if fill else own and name not in case.subject.parameters
            if name != case.name and not unsure and (v != fill).any():
                words = f"is right when {name} is all {of} (or a factor of it) is missing or wrong"
                what = f"with {name} all {of} is {'forgotten' if fill else 'missing'}"
                yield words, what, *_with(case, name, np.full_like(v, fill))


def _lengths(case: Case) -> Iterator[_Trial]:
    inputs = () if case.is_loss else case.subject.inputs
    for axis in range(max((x.ndim for x in inputs), default=0)):
        lengths = [x.shape[axis] for x in inputs if x.ndim > axis and x.shape[axis] > 1]
        words = f"is right when axis {axis} has length one: what couples or sums its positions "
        words += "(steps in time, windows, weights) is missing or wrong"
        if axis == 0 and case.subject.batch_size:
            words = "is right for a batch of one: its samples are summed or coupled wrongly"
        if lengths:
            yield words, "", unchanged, [
                tuple(np.take(x, [k], axis) if x.ndim > axis and x.shape[axis] > 1 else x
                      for x in inputs) for k in range(min([6, *lengths]))
            ]  # fmt: skip
