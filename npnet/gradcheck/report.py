"""What a check found: verdicts per element, violations of the contract, a diagnosis."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from npnet.errors import GradientMismatch
from npnet.typing import Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Verdict(IntEnum):
    """What is said about one element of a gradient.

    ``OK``: the analytic value lies inside the error bar. ``WRONG``: outside. ``KINK``: it is a
    valid subgradient at a kink. ``NOISE``: the function is too rough, or not finite, to say.
    """

    OK = 0
    WRONG = 1
    KINK = 2
    NOISE = 3


class Element(NamedTuple):
    """One checked element of a gradient.

    Attributes
    ----------
    index : tuple of int
    analytic, numeric, error : float
        What backward returned, what differences of forward say, by how much the two may differ.
    verdict : Verdict
    """

    index: tuple[int, ...]  # type: ignore[assignment]  # hides tuple.index
    analytic: float
    numeric: float
    error: float
    verdict: Verdict


@dataclass(repr=False)
class TensorReport:
    """The gradient with respect to one input or parameter.

    Attributes
    ----------
    name : str
        ``"input"``, ``"input 1"``, ``"pred"``, or a parameter's dotted name.
    shape : tuple of int
    indices : ndarray of int, shape (m,)
        Which elements were checked, as positions in the flattened tensor.
    analytic, numeric, error, verdicts : ndarray, shape (m,)
        As in `Element`, for each of them.
    """

    name: str
    shape: tuple[int, ...]
    indices: Array
    analytic: Array
    numeric: Array
    error: Array
    verdicts: Array

    def count(self, verdict: Verdict) -> int:
        """Count the elements with this verdict."""
        return int(np.count_nonzero(self.verdicts == verdict))

    def fails(self, allow_kinks: bool = True, max_noise: float = 0.0) -> bool:
        """Tell whether this gradient is rejected; for the options see `check_gradients`."""
        wrong = self.count(Verdict.WRONG) + (0 if allow_kinks else self.count(Verdict.KINK))
        return wrong > 0 or self.count(Verdict.NOISE) > max_noise * max(1, len(self.verdicts))

    def distances(self) -> Array:
        """Return how far analytic and numerical values are apart, in error bars, shape (m,)."""
        with np.errstate(all="ignore"):
            off = np.abs(self.analytic - self.numeric)
            return np.where(off == 0, 0.0, off / self.error)

    def worst(self, count: int = 5) -> list[Element]:
        """List some elements: wrong ones, then noise, kinks and right ones; by `distances`."""
        bars = np.nan_to_num(self.distances(), nan=np.inf, posinf=np.inf)
        off = np.abs(self.analytic - self.numeric)
        rank = np.array([3, 0, 2, 1])[self.verdicts]
        found = []
        for i in np.lexsort((self.indices, -off, -bars, rank))[:count]:
            index = tuple(map(int, np.unravel_index(self.indices[i], self.shape)))
            a, n, e = (float(column[i]) for column in (self.analytic, self.numeric, self.error))
            found.append(Element(index, a, n, e, Verdict(self.verdicts[i])))
        return found

    def __repr__(self) -> str:
        counts = ", ".join(f"{v.name.lower()}={self.count(v)}" for v in Verdict)
        return f"TensorReport({self.name!r}, {tuple(self.shape)}, {counts})"


class Violation(NamedTuple):
    """One broken rule.

    Attributes
    ----------
    rule, message : str
        The rule's name, ``"input unchanged"``, and what happened, in a sentence.
    follows : str
        The broken rule whose consequence this is, if any.
    """

    rule: str
    message: str
    follows: str = ""

    def __str__(self) -> str:
        named = self.message.startswith(f"{self.rule} ")  # backward raised ...
        return self.message if named else f"{self.rule}: {self.message}"


class Diagnosis(NamedTuple):
    """What is probably wrong.

    Attributes
    ----------
    kind : str
        One of `KINDS`.
    tensor, message : str
        The input or parameter that shows it, empty if all do, and a sentence that names it.
    """

    kind: str
    tensor: str
    message: str

    def __str__(self) -> str:
        return self.message


KINDS = (
    *("factor", "transposed", "shifted", "swapped", "not summed"),  # the true gradient, changed
    *("missing path", "missing term", "missing factor", "zero"),  # something is left out
    *("upstream ignored", "nonlinear"),  # wrong in the upstream gradient
    *("rows", "region", "kink", "elements"),  # wrong at some places only
    *("non-finite", "float32"),
    *("overwritten", "stale state", "child", "mutation", "non-deterministic", "raised"),  # conduct
    *("formula", "unknown"),  # in no known pattern: wrong throughout, or in part
)


class Example(NamedTuple):
    """The smallest example found that shows the fault.

    Attributes
    ----------
    shapes, code, says : str
        ``"input (1, 2), weight (2, 3)"``; lines that reproduce it; what comes and what should.
    """

    shapes: str
    code: str
    says: str

    def __str__(self) -> str:
        code = textwrap.indent(self.code, "  ")
        return f"{_wrapped('', self.shapes, 98)}\n{code}\n{_wrapped('', self.says, 98)}"


@dataclass(repr=False)
class Report:
    """The outcome of a check.

    Attributes
    ----------
    subject, check : str
        The representation of what was checked, and the name of the check.
    tensors, violations, diagnosis : list of TensorReport, Violation, Diagnosis
    notes : list of str
        Facts that fail nothing: what was sampled, what could not be tried.
    allow_kinks, max_noise
        See `check_gradients`.
    cause : Exception or None
        What forward or backward raised, if that ended the check.
    example : Example or None

    Examples
    --------
    >>> import numpy as np, npnet
    >>> from npnet.gradcheck import check_gradients
    >>> report = check_gradients(npnet.Tanh(), np.linspace(-1.0, 1.0, 4))
    >>> report
    Report('Tanh()', check='check_gradients', ok=True, tensors=1, failing=0, violations=0)
    >>> print(report)
    check_gradients: Tanh() passed
    tensor  shape  ok  wrong  kink  noise
    input   (4,)    4      0     0      0
    note: complex steps confirm 4 of 4 elements tried
    """

    subject: str
    check: str = "check_gradients"
    tensors: list[TensorReport] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)
    diagnosis: list[Diagnosis] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    allow_kinks: bool = True
    max_noise: float = 0.05
    cause: Exception | None = None
    example: Example | None = None

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not self.violations and not self.failing

    passed = ok

    @property
    def failing(self) -> list[TensorReport]:
        """The tensors whose gradient is rejected."""
        return [t for t in self.tensors if t.fails(self.allow_kinks, self.max_noise)]

    def violate(self, rule: str, message: str, follows: str = "") -> None:
        """Append a `Violation`."""
        self.violations.append(Violation(rule, message, follows))

    def tensor(self, name: str) -> TensorReport:
        """Return the report on one input or parameter; `KeyError` lists the names."""
        for tensor in self.tensors:
            if tensor.name == name:
                return tensor
        raise KeyError(f"{name!r}; there are {[t.name for t in self.tensors]}")

    def raise_if_failed(self) -> None:
        """Raise `GradientMismatch`, an AssertionError whose text is the report, unless `ok`."""
        __tracebackhide__ = True  # pytest then shows the report, not this code
        if not self.ok:
            raise GradientMismatch(str(self)) from self.cause

    def plot(self, path: str | os.PathLike[str] | None = None) -> Figure:
        """Draw the analytic against the numerical gradient of each tensor, failing ones first.

        The figure is saved at `path` if given. `ArgumentError` if no gradient was compared.
        """
        from npnet.plot.gradients import plot_gradients

        tensors = sorted(self.tensors, key=lambda t: not t.fails(self.allow_kinks, self.max_noise))
        title = f"{self._title}: {'passed' if self.ok else 'FAILED'}"
        return plot_gradients(tensors, title, path)

    @property
    def _title(self) -> str:
        title = " ".join(self.subject.split())
        return title if len(title) <= 60 else title[:57] + "..."

    def __repr__(self) -> str:
        kinds = ("tensors", "failing", "violations")
        counts = ", ".join(f"{kind}={len(getattr(self, kind))}" for kind in kinds)
        return f"Report({self._title!r}, check={self.check!r}, ok={self.ok}, {counts})"

    def __str__(self) -> str:
        outcome, what = "passed" if self.ok else "FAILED", self.subject
        title = f"{outcome}\n{what}" if "\n" in what else f"{what} {outcome}"
        lines = [f"{self.check}: {title}" if "\n" in what else _wrapped(f"{self.check}: ", title)]
        ruled = {violation.message for violation in self.violations}
        said = dict.fromkeys(d.message for d in self.diagnosis if d.message not in ruled)
        lines += [_wrapped("=> ", message) for message in said]
        lines += self._violations()
        if self.tensors:
            names = ["tensor", "shape", *(v.name.lower() for v in Verdict)]
            counts = (
                [t.name, str(t.shape), *map(str, map(t.count, Verdict))] for t in self.tensors
            )
            lines += _aligned([names, *counts], left=2)
        for tensor in self.failing:
            lines.append(f"worst elements of {tensor.name}:")
            lines += ("  " + line for line in _aligned(_worst(tensor)))
        if self.example:
            lines += ["smallest example found:", textwrap.indent(str(self.example), "  ")]
        return "\n".join(lines + [_wrapped("note: ", note) for note in self.notes])

    def _violations(self) -> Iterator[str]:
        """Yield causes as they were found, each with all that follows from it below."""
        first = {v.rule: v for v in reversed(self.violations)}
        groups: dict[str, list[str]] = {}
        for violation in self.violations:
            cause, seen = violation, set[str]()
            while cause.follows in first and cause.rule not in seen:
                seen.add(cause.rule)
                cause = first[cause.follows]
            start = "- " if violation.rule == cause.rule else "  (follows from it) - "
            groups.setdefault(cause.rule, []).append(_wrapped(start, str(violation)))
        for found in groups.values():
            yield from sorted(found, key=lambda text: text.startswith(" "))


def _wrapped(start: str, text: str, width: int = 100) -> str:
    """Return lines of at most `width` characters, the later ones indented by two."""
    indent = " " * (len(start) - len(start.lstrip()) + 2)
    wrap = textwrap.TextWrapper(width, start, indent, break_long_words=False)
    wrap.break_on_hyphens = False  # minus signs
    return wrap.fill(text)


def _worst(tensor: TensorReport) -> list[list[str]]:
    rows = [["index", "analytic", "numerical", "error bar", "verdict", "analytic / numerical"]]
    for index, analytic, numeric, error, verdict in tensor.worst():
        ratio = analytic / numeric if numeric else np.nan
        values = [f"{analytic:.9g}", f"{numeric:.9g}", f"{error:.1g}", verdict.name.lower()]
        rows.append([str(list(index)), *values, f"{ratio:.6g}" if np.isfinite(ratio) else "-"])
    return rows


def _aligned(rows: list[list[str]], left: int = 0) -> Iterator[str]:
    """Yield the rows with their cells in columns, to the right but for some at the left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = enumerate(zip(row, widths, strict=True))
        yield "  ".join(c.ljust(w) if i < left else c.rjust(w) for i, (c, w) in cells)
