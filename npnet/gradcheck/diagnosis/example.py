"""The smallest example that shows a fault: fewer rows, shorter axes, simpler numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from npnet.gradcheck.diagnosis.case import Case, remade
from npnet.gradcheck.diagnosis.matrices import true_matrix
from npnet.gradcheck.report import Example
from npnet.typing import Array

_PRINTED = 24  # elements of an array that may stand in the code


class _Fault(NamedTuple):
    """What was tried, and the element that is wrong there."""

    inputs: tuple[Any, ...]
    parameters: dict[str, Array]
    upstream: int | None  # the output whose upstream gradient is one; None for all
    index: list[int]
    analytic: float
    numeric: float

    @property
    def share(self) -> float:
        """How wrong the element is, relative to its size."""
        return abs(self.analytic - self.numeric) / (abs(self.analytic) + abs(self.numeric) + 1e-300)


def smallest(case: Case) -> Example | None:
    """Shrink what shows the fault of a tensor, and write it down; None if no small one does."""
    subject = case.subject
    held = {n: p.data for n, p in subject.parameters.items()}
    tries = (_try(case, tuple(subject.given), held, k) for k in (None, 0, 1, 2, 3))
    best = next(filter(None, tries), None)
    if best is None:
        return None
    needed, going = min(1e-3, best.share / 10), True
    while going:
        going = False
        for inputs, held in (*_shorter(best), *_simpler(best)):
            if _length(inputs, held) < _length(best.inputs, best.parameters):
                found = _try(case, inputs, held, best.upstream)
                if found is not None and found.share >= needed:
                    best, going = found, True
                    break
    return _written(case, best) if _length(best.inputs, {})[0] <= _PRINTED else None


def _length(inputs: tuple[Any, ...], held: dict[str, Array]) -> tuple[int, int]:
    """Return how many numbers an example has, and how many letters they take."""
    arrays = [*inputs, *held.values()]
    return max(np.size(x) for x in inputs), sum(len(repr(np.asarray(x).tolist())) for x in arrays)


def _try(
    case: Case, inputs: tuple[Any, ...], held: dict[str, Array], upstream: int | None
) -> _Fault | None:
    """Look for the most wrong element with these arrays."""
    try:
        subject = remade(case.subject, inputs=inputs)
        for name, value in held.items():
            subject.parameters[name].data[...] = value
        number, size = subject.names.index(case.name), subject.here.size
        variable, r = subject.variables[number], np.ones(size)
        if upstream is not None:  # of several outputs, all of one
            r = np.eye(1, size, upstream)[0]
            if len(subject.shapes) > 1:
                r = np.repeat(np.arange(len(subject.ends)) == upstream, np.diff(subject.ends, prepend=0))
        grad = subject.gradients(subject.split(r.astype(float)))[number]
        a = np.zeros(variable.size) if grad is None else grad.reshape(-1)
        some = np.argsort(-np.abs(a - a.mean()))[:64]
        case.budget.take(4 * some.size + 1)
        t = true_matrix(subject, variable, some, size) @ r
    except Exception:  # the layer takes no such arrays, or the budget is spent
        return None
    off = np.where(np.isfinite(t), np.abs(a[some] - t), 0.0)
    k = int(off.argmax()) if off.size else 0
    if not off.size or not off[k] > 1e-8 * (abs(t[k]) + np.nanmax(np.abs(t))):
        return None
    index = [int(i) for i in np.unravel_index(some[k], variable.shape)]
    return _Fault(inputs, held, upstream, index, float(a[some[k]]), float(t[k]))


def _shorter(best: _Fault) -> Iterator[tuple[tuple[Any, ...], dict[str, Array]]]:
    """Cut axes: the batch first, to one row, then two; then the other axes."""
    for axis in range(max(np.ndim(x) for x in best.inputs)):
        for n in {np.shape(x)[axis] for x in best.inputs if np.ndim(x) > axis}:
            for rows in ([0], [n - 1], [n // 2], [0, 1], [0, n - 1], [0, 1, 2]):
                if len(set(rows)) == len(rows) < n:
                    cut = tuple(
                        np.take(x, rows, axis) if np.ndim(x) > axis and np.shape(x)[axis] == n
                        else x for x in best.inputs
                    )  # fmt: skip
                    yield cut, best.parameters


def _simpler(best: _Fault) -> Iterator[tuple[tuple[Any, ...], dict[str, Array]]]:
    """Round all numbers."""
    for digits in (0, 1, 2, 4):

        def rounded(x: Any, digits: int = digits) -> Any:
            return np.round(x, digits) + 0.0 if np.asarray(x).dtype.kind == "f" else x

        inputs = tuple(map(rounded, best.inputs))
        if sum(v.size for v in best.parameters.values()) <= _PRINTED:
            yield inputs, {n: rounded(v) for n, v in best.parameters.items()}
        yield inputs, best.parameters


def _written(case: Case, best: _Fault) -> Example:
    names = [f"x{i}" if len(best.inputs) > 1 else "x" for i in range(len(best.inputs))]
    pairs = [*zip(names, best.inputs, strict=True), *best.parameters.items()]
    all_names = ", ".join(names)
    lines = [f"{all_names} = {', '.join(map(_array, best.inputs))}"]
    if 0 < sum(v.size for v in best.parameters.values()) <= _PRINTED:
        state = ", ".join(f"{n!r}: {_array(v)}" for n, v in best.parameters.items())
        lines.append(f"layer.load_state_dict({{{state}}}, strict=False)")
    own = case.name in best.parameters
    which = str(best.index) if best.index and not (case.missing and own) else ""
    if case.is_loss:
        lines.append(f"print(layer.value_and_grad({all_names})[1]{which})")
    else:
        how = "" if case.subject.training else ", training=False"
        how += ", rng=np.random.default_rng(0)" if case.subject.draws_numbers else ""
        lines.append(f"y, tape = layer.record({all_names}{how})")
        one, k = len(case.subject.shapes) == 1, best.upstream
        ones = "np.ones_like(y)" if one else "*map(np.ones_like, y)"
        if k is not None:
            ones = f"np.eye(1, y.size, {k}).reshape(y.shape)"
            ones = ones if one else f"*[np.full_like(v, i == {k}) for i, v in enumerate(y)]"
        if own:
            path = (f"[{s}]" if s.isdigit() else f".{s}" for s in case.name.split("."))
            lines.append(f"tape.backward({ones}); print(layer{''.join(path)}.grad{which})")
        else:
            number = case.name.removeprefix("input").strip()
            which = f"[{number}]{which}" if number else which
            lines.append(f"print(tape.backward({ones}, input_grad=True){which})")
    says = (
        f"at {best.index} the gradient of {case.name} is {best.analytic:.6g}; by differences of "
        f"forward it is {best.numeric:.6g}"
    )
    shapes = ", ".join(f"{n} {np.shape(x)}" for n, x in pairs)
    return Example(shapes, "\n".join(lines), says)


def _array(x: Any) -> str:
    """Write an array as code."""
    plain = isinstance(x, np.ndarray | np.generic)
    return f"np.array({np.asarray(x).tolist()})" if plain else repr(x)
