"""The smallest example that shows a fault: fewer rows, shorter axes, simpler numbers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from npnet.gradcheck.diagnosis.evidence import Case, remade
from npnet.gradcheck.diagnosis.matrices import true_matrix
from npnet.gradcheck.report import Example
from npnet.gradcheck.numeric.function import Function
from npnet.typing import Array

_SECONDS = 0.3
_PRINTED = 24  # elements of an array that may stand in the code


class _Fault(NamedTuple):
    """What was tried, and the element that is wrong there."""

    inputs: tuple[Any, ...]
    parameters: dict[str, Array]
    upstream: int | None  # the output whose upstream gradient is one; None for all
    shape: tuple[int, ...]
    at: int
    analytic: float
    numeric: float

    @property
    def share(self) -> float:
        """How wrong the element is, relative to its size."""
        return abs(self.analytic - self.numeric) / (abs(self.analytic) + abs(self.numeric) + 1e-300)


def smallest(case: Case) -> Example | None:
    """Shrink what shows the fault of a tensor, and write it down; None if no small one does."""
    subject, started = case.subject, time.perf_counter()
    inputs = tuple(subject.given)
    held = {n: v for n, v in zip(subject.names, subject.variables, strict=True)
            if not any(v is x for x in subject.inputs)}  # fmt: skip
    best = None
    for upstream in (None, *range(min(4, case.upstream.shape[1]))):
        best = best or _try(case, inputs, held, upstream)
    if best is None:
        return None
    needed, going = min(1e-3, best.share / 10), True
    while going:
        going = False
        for inputs, held in (*_shorter(best), *_simpler(best)):
            if time.perf_counter() - started > _SECONDS:
                break
            if _length(inputs, held) >= _length(best.inputs, best.parameters):
                continue
            found = _try(case, inputs, held, best.upstream)
            if found is not None and found.share >= needed:
                best, going = found, True
                break
    return _written(case, subject, best) if _length(best.inputs, {})[0] <= _PRINTED else None


def _length(inputs: tuple[Any, ...], held: dict[str, Array]) -> tuple[int, int]:
    """Return how many numbers an example has, and how many letters they take."""
    arrays = [*inputs, *held.values()]
    return max(np.size(x) for x in inputs), sum(len(repr(np.asarray(x).tolist())) for x in arrays)


def _try(
    case: Case, inputs: tuple[Any, ...], held: dict[str, Array], upstream: int | None
) -> _Fault | None:
    """Look for the most wrong element with these arrays."""
    try:
        subject = remade(case.subject, lambda layer: None, inputs)
        for name, value in held.items():
            subject.variables[subject.names.index(name)][...] = value
        outputs = subject.outputs()
        number = subject.names.index(case.name)
        size = sum(y.size for y in outputs)
        r = np.ones(size) if upstream is None else np.eye(1, size, upstream)[0]
        if upstream is not None and len(outputs) > 1:
            r = np.concatenate(
                [np.full(y.size, float(i == upstream)) for i, y in enumerate(outputs)]
            )
        grad = subject.gradients(subject.split(r))[number]
        variable = subject.variables[number]
        a = np.zeros(variable.size) if grad is None else grad.reshape(-1)
        some = np.argsort(np.abs(a - a.mean()))[::-1][:64] if a.size > 64 else np.arange(a.size)
        t = true_matrix(subject, variable, some, size) @ r
    except Exception:  # the layer takes no such arrays
        return None
    off = np.where(np.isfinite(t), np.abs(a[some] - t), 0.0)
    k = int(off.argmax()) if off.size else 0
    if not off.size or not off[k] > 1e-8 * (abs(t[k]) + np.nanmax(np.abs(t))):
        return None
    return _Fault(
        inputs, held, upstream, variable.shape, int(some[k]), float(a[some[k]]), float(t[k])
    )


def _shorter(best: _Fault) -> Iterator[tuple[tuple[Any, ...], dict[str, Array]]]:
    """Cut axes: the batch first, to one row, then two; then the other axes."""
    for axis in range(max(np.ndim(x) for x in best.inputs)):
        for n in {np.shape(x)[axis] for x in best.inputs if np.ndim(x) > axis}:
            for rows in ([0], [n - 1], [n // 2], [0, 1], [0, n - 1], [0, 1, 2]):
                if len(set(rows)) == len(rows) < n and max(rows) < n:
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

        if sum(v.size for v in best.parameters.values()) <= _PRINTED:
            held = {n: rounded(v) for n, v in best.parameters.items()}
            yield tuple(map(rounded, best.inputs)), held
        yield tuple(map(rounded, best.inputs)), best.parameters


def _written(case: Case, subject: Function, best: _Fault) -> Example:
    names = [f"x{i}" if len(best.inputs) > 1 else "x" for i in range(len(best.inputs))]
    values = [_array(x) for x in best.inputs]
    shapes = [f"{n} {np.shape(x)}" for n, x in zip(names, best.inputs, strict=True)]
    shapes += [f"{n} {v.shape}" for n, v in best.parameters.items()]
    at = [int(k) for k in np.unravel_index(best.at, best.shape)] if best.shape else []
    lines = [f"{', '.join(names)} = {', '.join(values)}"]
    total = sum(v.size for v in best.parameters.values())
    if 0 < total <= _PRINTED:
        state = ", ".join(f"{n!r}: {_array(v)}" for n, v in best.parameters.items())
        lines.append(f"layer.load_state_dict({{{state}}}, strict=False)")
    which = str(at) if at and not (case.missing and case.name in best.parameters) else ""
    if case.is_loss:
        lines.append(f"print(layer.value_and_grad({', '.join(names)})[1]{which})")
    else:
        how = "" if subject.training else ", training=False"  # type: ignore[attr-defined]
        how += ", rng=np.random.default_rng(0)" if getattr(subject, "draws_numbers", False) else ""
        lines.append(f"y, tape = layer.record({', '.join(names)}{how})")
        count = len(subject.shapes)
        ones = "np.ones_like(y)" if count == 1 else "*map(np.ones_like, y)"
        if best.upstream is not None:
            ones = f"np.eye(1, y.size, {best.upstream}).reshape(y.shape)"
            if count > 1:
                ones = f"*[np.full_like(v, i == {best.upstream}) for i, v in enumerate(y)]"
        if case.name in best.parameters:
            lines.append(f"tape.backward({ones}); print({_path(case.name)}.grad{which})")
        else:
            number = case.name.removeprefix("input").strip()
            which = f"[{number}]{which}" if number else which
            lines.append(f"print(tape.backward({ones}, input_grad=True){which})")
    says = (
        f"at {at} the gradient of {case.name} is {best.analytic:.6g}; by differences of forward "
        f"it is {best.numeric:.6g}"
    )
    return Example(", ".join(shapes), "\n".join(lines), says)


def _array(x: Any) -> str:
    """Write an array as code."""
    plain = isinstance(x, np.ndarray | np.generic)
    return f"np.array({np.asarray(x).tolist()})" if plain else repr(x)


def _path(name: str) -> str:
    """Write a dotted name as attributes and indices: '0.weight' of a chain is [0].weight."""
    text = "".join(f"[{part}]" if part.isdigit() else f".{part}" for part in name.split("."))
    return f"layer{text}"
