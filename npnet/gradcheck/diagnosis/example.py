"""The smallest example that shows a fault: fewer rows, shorter axes, simpler numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from npnet.gradcheck.diagnosis.matrices import Case, remade, true_matrix
from npnet.gradcheck.report import Example
from npnet.typing import Array

_PRINTED = 24  # elements of an array that may stand in the code
_UPSTREAM = "np.resize([1.0, -2.0, 3.0], {}.shape)"  # ones would hide much
_Arrays = tuple[tuple[Any, ...], dict[str, Array]]  # inputs and parameters


class _Fault(NamedTuple):
    """What was tried, and the element that is wrong there."""

    arrays: _Arrays
    at: list[int]
    analytic: float
    numeric: float
    share: float  # how wrong the element is, relative to its size


def smallest(case: Case) -> Example | None:
    """Shrink what shows the fault of a tensor, and write it down; None if no small one does."""
    held = {n: p.data for n, p in case.subject.parameters.items()}
    best = _try(case, (tuple(case.subject.given), held))
    smaller = best
    while best and smaller:
        smaller = None
        for arrays in _simpler(*best.arrays, at=() if case.name in held else tuple(best.at)):
            if _length(arrays) < _length(best.arrays):
                found = _try(case, arrays)
                same = found and np.isfinite(found.analytic) == np.isfinite(best.analytic)
                if found and same and found.share >= min(1e-3, best.share / 10):
                    best = smaller = found
                    break
    return _written(case, best) if best and _length(best.arrays)[0] <= _PRINTED else None


def _length(arrays: _Arrays) -> tuple[int, int]:
    inputs, held = arrays
    letters = sum(len(repr(np.asarray(x).tolist())) for x in (*inputs, *held.values()))
    return max(np.size(x) for x in inputs), letters


def _try(case: Case, arrays: _Arrays) -> _Fault | None:
    """Look for the most wrong element with these arrays."""
    try:
        subject = remade(case.subject, inputs=arrays[0])
        for name, value in arrays[1].items():
            subject.parameters[name].data[...] = value
        number, size = subject.names.index(case.name), subject.here.size
        variable = subject.variables[number]
        parts = [np.resize([1.0, -2.0, 3.0], shape) for shape in subject.shapes]
        grad = subject.gradients(parts)[number]
        a = np.zeros(variable.size) if grad is None else grad.reshape(-1)
        bad = np.nan_to_num(np.abs(a - np.nan_to_num(a).mean()), nan=np.inf)
        some = np.argsort(-bad)[:64]
        case.budget.take(4 * some.size + 1)
        r = np.concatenate([part.reshape(-1) for part in parts])
        t = true_matrix(subject, variable, some, size) @ r
    except Exception:  # the layer takes no such arrays, or the budget is spent
        return None
    off = np.where(np.isfinite(t), np.nan_to_num(np.abs(a[some] - t), nan=np.inf), 0.0)
    k = int(off.argmax()) if off.size else 0
    if not off.size or not off[k] > 1e-8 * (abs(t[k]) + np.nanmax(np.abs(t))) + 1e-12:
        return None
    index = [int(i) for i in np.unravel_index(some[k], variable.shape)]
    wrong = float(a[some[k]])
    share = np.nan_to_num(off[k] / (abs(wrong) + abs(t[k])), nan=1.0)
    return _Fault(arrays, index, wrong, float(t[k]), float(share))


def _simpler(
    inputs: tuple[Any, ...], held: dict[str, Array], at: tuple[int, ...]
) -> Iterator[_Arrays]:
    """Cut axes: the batch first, to one row, then two; then the other axes. Round all numbers."""
    lengths = dict.fromkeys(an for x in inputs for an in enumerate(np.shape(x)))
    for axis, n in sorted(lengths, key=lambda an: an[0]):
        own = [[min(at[axis], n - 1)]] if axis < len(at) else []
        for rows in (*own, [0], [n - 1], [n // 2], [0, 1], [0, n - 1], [0, 1, 2]):
            if len(set(rows)) == len(rows) < n:
                cut = (np.ndim(x) > axis and np.shape(x)[axis] == n for x in inputs)
                pairs = zip(inputs, cut, strict=True)
                yield tuple(np.take(x, rows, axis) if c else x for x, c in pairs), held
    for digits in (0, 1, 2, 4):
        floats = (np.asarray(x).dtype.kind == "f" for x in inputs)
        pairs = zip(inputs, floats, strict=True)
        rounded = tuple(np.round(x, digits) + 0.0 if f else x for x, f in pairs)
        if sum(v.size for v in held.values()) <= _PRINTED:
            yield rounded, {n: np.round(v, digits) + 0.0 for n, v in held.items()}
        yield rounded, held


def _written(case: Case, best: _Fault) -> Example:
    (inputs, held), subject = best.arrays, case.subject
    names = [f"x{i}" for i in range(len(inputs))] if len(inputs) > 1 else ["x"]
    given = ", ".join(names)
    lines = [f"{given} = {', '.join(map(_array, inputs))}"]
    if 0 < sum(v.size for v in held.values()) <= _PRINTED:
        state = ", ".join(f"{n!r}: {_array(v)}" for n, v in held.items())
        lines.append(f"layer.load_state_dict({{{state}}}, strict=False)")
    own = case.name in held
    which = str(best.at) if best.at and not (case.missing and own) else ""
    if case.is_loss:
        lines.append(f"print(layer.value_and_grad({given})[1]{which})")
    else:
        how = "" if subject.training else ", training=False"
        how += ", rng=np.random.default_rng(0)" if subject.draws_numbers else ""
        lines.append(f"y, tape = layer.record({given}{how})")
        one = len(subject.shapes) == 1
        upstream = _UPSTREAM.format("y") if one else f"*[{_UPSTREAM.format('v')} for v in y]"
        if own:
            path = (f"[{s}]" if s.isdigit() else f".{s}" for s in case.name.split("."))
            lines.append(f"tape.backward({upstream}); print(layer{''.join(path)}.grad{which})")
        else:
            number = case.name.removeprefix("input").strip()
            which = f"[{number}]{which}" if number else which
            lines.append(f"print(tape.backward({upstream}, input_grad=True){which})")
    digits = 6 if f"{best.analytic:.6g}" != f"{best.numeric:.6g}" else 12
    says = (
        f"at {best.at} the gradient of {case.name} is {best.analytic:.{digits}g}; by differences "
        f"of forward it is {best.numeric:.{digits}g}"
    )
    pairs = [*zip(names, inputs, strict=True), *held.items()]
    shapes = ", ".join(f"{n} {np.shape(x)}" for n, x in pairs)
    return Example(shapes, "\n".join(lines), says)


def _array(x: Any) -> str:
    plain = isinstance(x, np.ndarray | np.generic)
    return f"np.array({np.asarray(x).tolist()})" if plain else repr(x)
