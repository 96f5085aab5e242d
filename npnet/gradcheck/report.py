"""What a check found: verdicts per element, violations of the contract, a diagnosis."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from npnet.errors import GradientMismatch
from npnet.gradcheck.picture import draw
from npnet.gradcheck.tensor_report import Element, TensorReport, Verdict

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Diagnosis", "Element", "Example", "Report", "TensorReport", "Verdict", "Violation"]


class Violation(NamedTuple):
    """One broken rule.

    Attributes
    ----------
    rule, message : str
        The rule's name, ``"input unchanged"``, and what happened, in a sentence.
    follows : str
        The broken rule whose consequence this is, if any; ``"gradients"`` means the diagnosis.
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
        return f"{self.shapes}\n{textwrap.indent(self.code, '  ')}\n{self.says}"


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
        tensors = sorted(self.tensors, key=lambda t: not t.fails(self.allow_kinks, self.max_noise))
        return draw(tensors, f"{self._title}: {'passed' if self.ok else 'FAILED'}", path)

    @property
    def _title(self) -> str:
        title = " ".join(self.subject.split())
        return title if len(title) <= 60 else title[:57] + "..."

    def __repr__(self) -> str:
        kinds = ("tensors", "failing", "violations")
        counts = ", ".join(f"{kind}={len(getattr(self, kind))}" for kind in kinds)
        return f"Report({self._title!r}, check={self.check!r}, ok={self.ok}, {counts})"

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        outcome, what = "passed" if self.ok else "FAILED", self.subject
        yield f"{self.check}: " + (f"{outcome}\n{what}" if "\n" in what else f"{what} {outcome}")
        ruled = {violation.message for violation in self.violations}
        said = dict.fromkeys(d.message for d in self.diagnosis if d.message not in ruled)
        yield from (f"=> {message}" for message in said)
        yield from self._violations()
        if self.tensors:
            rows = [
                [t.name, str(t.shape), *(str(t.count(v)) for v in Verdict)] for t in self.tensors
            ]
            names = ["tensor", "shape", *(v.name.lower() for v in Verdict)]
            yield from _aligned([names, *rows], left=2)
        for tensor in self.failing:
            yield f"worst elements of {tensor.name}:"
            yield from ("  " + line for line in _aligned(_worst(tensor)))
        if self.example:
            yield "smallest example found:"
            yield textwrap.indent(str(self.example), "  ")
        yield from (f"note: {note}" for note in self.notes)

    def _violations(self) -> Iterator[str]:
        """Yield causes as they were found, each with all that follows from it below."""
        first = {v.rule: v for v in reversed(self.violations)}
        groups: dict[str, list[Violation]] = {"": []}  # of the diagnosis, printed above
        for violation in self.violations:
            cause, seen = violation, set[str]()
            while cause.follows in first and cause.rule not in seen:
                seen.add(cause.rule)
                cause = first[cause.follows]
            diagnosed = cause.follows == "gradients" and self.diagnosis
            groups.setdefault("" if diagnosed else cause.rule, []).append(violation)
        for rule, found in groups.items():
            yield from (f"- {v}" for v in found if v.rule == rule)
            yield from (f"  (follows from it) - {v}" for v in found if v.rule != rule)


def _worst(tensor: TensorReport) -> Iterator[list[str]]:
    yield ["index", "analytic", "numerical", "error bar", "verdict", "analytic / numerical"]
    for index, analytic, numeric, error, verdict in tensor.worst():
        ratio = analytic / numeric if numeric else np.nan
        values = [f"{analytic:.9g}", f"{numeric:.9g}", f"{error:.1g}", verdict.name.lower()]
        yield [str(list(index)), *values, f"{ratio:.6g}" if np.isfinite(ratio) else "-"]


def _aligned(rows: Iterable[list[str]], left: int = 0) -> Iterator[str]:
    """Yield the rows with their cells in columns, to the right but for some at the left."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = enumerate(zip(row, widths, strict=True))
        yield "  ".join(c.ljust(w) if i < left else c.rjust(w) for i, (c, w) in cells)


def subject_of(checked: Any) -> str:
    """Represent what is checked; a class whose `repr` fails is named instead."""
    try:
        return repr(checked)
    except Exception:  # a user's __repr__ must not hide the report
        return type(checked).__name__
