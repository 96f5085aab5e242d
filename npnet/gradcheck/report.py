"""What a check found: verdicts per element, violations of the contract, a diagnosis.

`check_gradients` and `check_layer` both fill and return a `Report`; ``str(report)`` is the text
that a failing check raises.
"""

from __future__ import annotations

import math
import os
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

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
    rule : str
        The rule's short name: ``"input unchanged"``.
    message : str
        What happened, in a sentence.
    follows : str
        The broken rule whose consequence this is, if any; ``"gradients"`` stands for what the
        diagnosis says.
    """

    rule: str
    message: str
    follows: str = ""

    def __str__(self) -> str:
        return f"{self.rule}: {self.message}"


class Diagnosis(NamedTuple):
    """What is probably wrong.

    Attributes
    ----------
    kind : str
        One of `KINDS`.
    tensor : str
        The input or parameter whose gradient shows it; empty if all do.
    message : str
        The diagnosis in a sentence that names the tensor.
    region : str
        Where it shows, if not everywhere: ``"input > 3"``, ``"a row of zeros"``.
    """

    kind: str
    tensor: str
    message: str
    region: str = ""

    def __str__(self) -> str:
        known = not self.region or self.region in self.message
        return self.message if known else f"{self.message} (where: {self.region})"


KINDS = (
    "factor",  # off by one constant factor: 2, -1, the batch size, ...
    "transposed",  # the gradient itself, or a matrix used in backward
    "shifted",  # along an axis, or flipped along it
    "not summed",  # a parameter's gradient holds one sample instead of the sum over the batch
    "missing path",  # the contribution of a path, a branch or a child is missing
    "missing term",  # analytic and numerical differ by a recognisable term
    "missing factor",  # they differ by a recognisable factor that varies from element to element
    "nonlinear",  # wrong for large upstream gradients only
    "upstream ignored",  # backward does not use the gradient that it is given
    "swapped",  # the gradient of one tensor is stored as that of another
    "zero",  # zero, or never set, where it should not be
    "rows",  # only some rows (or columns) wrong, the others right
    "region",  # wrong exactly where an input is negative, positive, above 1, ...
    "kink",  # wrong only where the function has a kink
    "elements",  # a few scattered elements wrong
    "non-finite",  # NaN or infinity in the analytic gradient
    "overwritten",  # instead of accumulated
    "stale state",  # something from another call is used
    "child",  # a child is called without ctx.call
    "mutation",  # of an input, an upstream gradient, an output or a parameter
    "float32",  # computed in float32 on the way
    "non-deterministic",  # two identical calls differ
    "raised",  # forward or backward raises, or returns what is no array of the right shape
    "formula",  # wrong throughout, in no known pattern
    "unknown",  # partly wrong, in no known pattern
)


class Example(NamedTuple):
    """The smallest example found that shows the fault.

    Attributes
    ----------
    shapes : str
        ``"input (1, 2), weight (2, 3)"``.
    code : str
        Three lines of Python that reproduce it.
    says : str
        What comes and what should come, in one line.
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
    subject : str
        What was checked, as its representation.
    check : str
        The name of the check: ``"check_gradients"``.
    tensors : list of TensorReport
        One for each input and parameter.
    violations : list of Violation
    diagnosis : list of Diagnosis
    example : Example or None
    notes : list of str
        Facts that fail nothing: what was sampled, what could not be tried.
    allow_kinks : bool
    max_noise : float
        See `check_gradients`.
    cause : Exception or None
        What forward or backward raised, if that ended the check.

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

    @property
    def passed(self) -> bool:
        """The same as `ok`."""
        return self.ok

    @property
    def failing(self) -> list[TensorReport]:
        """The tensors whose gradient is rejected."""
        return [t for t in self.tensors if t.fails(self.allow_kinks, self.max_noise)]

    def violate(self, rule: str, message: str, follows: str = "") -> None:
        """Append a `Violation`."""
        self.violations.append(Violation(rule, message, follows))

    def tensor(self, name: str) -> TensorReport:
        """Return the report on one input or parameter.

        Raises
        ------
        KeyError
            If there is none of that name; the message lists the names.
        """
        for tensor in self.tensors:
            if tensor.name == name:
                return tensor
        raise KeyError(f"{name!r}; there are {[t.name for t in self.tensors]}")

    def raise_if_failed(self) -> None:
        """Raise the report as an error unless `ok`.

        Raises
        ------
        GradientMismatch
            An AssertionError whose text is the report.
        """
        __tracebackhide__ = True  # pytest then shows the report, not this code
        if not self.ok:
            raise GradientMismatch(str(self)) from self.cause

    def plot(self, path: str | os.PathLike[str] | None = None) -> Figure:
        """Draw the analytic against the numerical gradient of each tensor, failing ones first.

        Parameters
        ----------
        path : path-like, optional
            Where to save the picture.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        ArgumentError
            If the check ended before any gradient was compared.
        """
        tensors = sorted(self.tensors, key=lambda t: not t.fails(self.allow_kinks, self.max_noise))
        return draw(tensors, f"{self._title()}: {self._outcome()}", path)

    def __repr__(self) -> str:
        return (
            f"Report({self._title()!r}, check={self.check!r}, ok={self.ok}, "
            f"tensors={len(self.tensors)}, failing={len(self.failing)}, "
            f"violations={len(self.violations)})"
        )

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _title(self) -> str:
        title = " ".join(self.subject.split())
        return title if len(title) <= 60 else title[:57] + "..."

    def _outcome(self) -> str:
        return "passed" if self.ok else "FAILED"

    def _lines(self) -> Iterator[str]:
        if "\n" in self.subject:
            yield f"{self.check}: {self._outcome()}"
            yield self.subject
        else:
            yield f"{self.check}: {self.subject} {self._outcome()}"
        ruled = {violation.message for violation in self.violations}
        yield from (f"=> {found}" for found in self.diagnosis if found.message not in ruled)
        yield from self._violations()
        if self.tensors:
            yield from _table(self.tensors)
        for tensor in self.failing:
            yield from _worst_lines(tensor)
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


def _table(tensors: Sequence[TensorReport]) -> Iterator[str]:
    rows = [["tensor", "shape", *(v.name.lower() for v in Verdict)]]
    rows += [[t.name, str(tuple(t.shape)), *(str(t.count(v)) for v in Verdict)] for t in tensors]
    names = max(len(row[0]) for row in rows)
    shapes = max(len(row[1]) for row in rows)
    return _aligned([[row[0].ljust(names), row[1].ljust(shapes), *row[2:]] for row in rows])


def _worst_lines(tensor: TensorReport) -> Iterator[str]:
    yield f"worst elements of {tensor.name}:"
    rows = [["index", "analytic", "numerical", "error bar", "verdict", "analytic / numerical"]]
    for e in tensor.worst():
        ratio = e.analytic / e.numeric if e.numeric else math.nan
        rows.append([
            str(list(e.index)), f"{e.analytic:.9g}", f"{e.numeric:.9g}", f"{e.error:.1g}",
            e.verdict.name.lower(), f"{ratio:.6g}" if math.isfinite(ratio) else "-",
        ])  # fmt: skip
    yield from (f"  {line}" for line in _aligned(rows))


def _aligned(rows: list[list[str]]) -> Iterator[str]:
    """Yield the rows with their cells in columns, to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))


def subject_of(checked: Any) -> str:
    """Represent what is checked; a class whose `repr` fails is named instead."""
    try:
        return repr(checked)
    except Exception:  # a user's __repr__ must not hide the report
        return type(checked).__name__
