"""What a check found: verdicts per element, violations of the contract, a diagnosis.

`check_gradients` and `check_layer` both return a `Report`. Whoever builds one fills its lists:
``report.tensors`` (one `TensorReport` for each input and parameter), ``report.violations`` (one
`Violation` for each broken rule; ``report.violate(rule, message)`` appends one),
``report.diagnosis`` (what the pattern of wrong elements says, a `Diagnosis` each) and
``report.notes`` (facts that fail nothing). ``report.ok`` follows from the tensors and the
violations; ``str(report)`` is the text that a failing check raises.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from npnet.errors import GradientMismatch
from npnet.typing import Array

if TYPE_CHECKING:
    import os

    from matplotlib.figure import Figure

WORST = 5  # elements listed for each failing tensor


class Verdict(IntEnum):
    """What is said about one element of a gradient.

    ``OK``: the analytic value lies inside the error bar. ``WRONG``: outside. ``KINK``: the slopes
    to the left and to the right differ and the analytic value lies between them, a valid
    subgradient. ``NOISE``: the function is too rough, or not finite, around this point to say.
    """

    OK = 0
    WRONG = 1
    KINK = 2
    NOISE = 3


class Violation(NamedTuple):
    """One broken rule.

    Attributes
    ----------
    rule : str
        The rule's short name: ``"input unchanged"``.
    message : str
        What happened, in a sentence.
    """

    rule: str
    message: str

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
    """

    kind: str
    tensor: str
    message: str

    def __str__(self) -> str:
        return self.message


KINDS = (
    "factor",  # off by one constant factor: 2, -1, the batch size, ...
    "transposed",  # the gradient itself, or a matrix used in backward
    "not summed",  # a parameter's gradient holds one sample instead of the sum over the batch
    "missing term",  # analytic and numerical differ by a recognisable term
    "missing factor",  # they differ by a recognisable factor that varies from element to element
    "nonlinear",  # wrong for large upstream gradients only
    "upstream ignored",  # backward does not use the gradient that it is given
    "swapped",  # the gradient of one tensor is stored as that of another
    "zero",  # zero, or never set, where it should not be
    "rows",  # only some rows (or columns) wrong, the others right
    "region",  # wrong exactly where an input is negative, positive, above 1, ...
    "elements",  # a few scattered elements wrong
    "non-finite",  # NaN or infinity in the analytic gradient
    "overwritten",  # instead of accumulated
    "stale state",  # something from another call is used
    "mutation",  # of an input, an upstream gradient, an output or a parameter
    "float32",  # computed in float32 on the way
    "non-deterministic",  # two identical calls differ
    "raised",  # forward or backward raises, or returns what is no array of the right shape
    "formula",  # wrong throughout, in no known pattern
    "unknown",  # partly wrong, in no known pattern
)


class Element(NamedTuple):
    """One checked element of a gradient.

    Attributes
    ----------
    index : tuple of int
    analytic, numeric : float
        What backward returned, and what differences of forward say.
    error : float
        The error bar: the two may differ by as much.
    verdict : Verdict
    """

    index: tuple[int, ...]  # type: ignore[assignment]  # hides tuple.index
    analytic: float
    numeric: float
    error: float
    verdict: Verdict


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


@dataclass
class TensorReport:
    """The gradient with respect to one input or parameter.

    Attributes
    ----------
    name : str
        ``"input"``, ``"input 1"``, ``"pred"``, or a parameter's dotted name.
    shape : tuple of int
    indices : ndarray of int, shape (m,)
        Which elements were checked, as positions in the flattened tensor.
    analytic, numeric, error : ndarray, shape (m,)
        For each: what backward returned, what forward's differences say, and the error bar.
    verdicts : ndarray of int, shape (m,)
        Values of `Verdict`.
    """

    name: str
    shape: tuple[int, ...]
    indices: Array
    analytic: Array
    numeric: Array
    error: Array
    verdicts: Array

    def count(self, verdict: Verdict) -> int:
        """Count the elements with this verdict.

        Parameters
        ----------
        verdict : Verdict

        Returns
        -------
        int
        """
        return int(np.count_nonzero(self.verdicts == verdict))

    def fails(self, allow_kinks: bool = True, max_noise: float = 0.0) -> bool:
        """Tell whether this gradient is rejected.

        Parameters
        ----------
        allow_kinks : bool
            Whether a valid subgradient at a kink passes.
        max_noise : float
            The share of elements about which nothing can be said.

        Returns
        -------
        bool
        """
        return (
            self.count(Verdict.WRONG) > 0
            or (not allow_kinks and self.count(Verdict.KINK) > 0)
            or self.count(Verdict.NOISE) > max_noise * max(1, len(self.verdicts))
        )

    def worst(self, count: int = WORST) -> list[Element]:
        """List the elements that agree least, the worst first.

        Parameters
        ----------
        count : int

        Returns
        -------
        list of Element
            Wrong ones before noise, kinks and right ones; among those by their distance in error
            bars.
        """
        with np.errstate(all="ignore"):
            off = np.abs(self.analytic - self.numeric)
            bars = np.where(off == 0, 0.0, off / self.error)
        bars[np.isnan(bars)] = np.inf
        rank = np.array([3, 0, 2, 1])[self.verdicts]
        order = np.lexsort((self.indices, -off, -bars, rank))[:count]
        return [self._element(int(i)) for i in order]

    def _element(self, i: int) -> Element:
        index = np.unravel_index(self.indices[i], self.shape) if self.shape else ()
        return Element(
            tuple(int(k) for k in index),
            float(self.analytic[i]),
            float(self.numeric[i]),
            float(self.error[i]),
            Verdict(int(self.verdicts[i])),
        )


@dataclass
class Report:
    """The outcome of a check.

    Attributes
    ----------
    subject : str
        What was checked, as its representation.
    check : str
        The name of the check: ``"check_gradients"``.
    tensors : list of TensorReport
    violations : list of Violation
    diagnosis : list of Diagnosis
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
    >>> report.ok
    True
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
    cause: Exception | None = field(default=None, repr=False)

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

    def violate(self, rule: str, message: str) -> None:
        """Append a violation.

        Parameters
        ----------
        rule, message : str
            See `Violation`.
        """
        self.violations.append(Violation(rule, message))

    def tensor(self, name: str) -> TensorReport:
        """Return the report on one input or parameter.

        Parameters
        ----------
        name : str

        Returns
        -------
        TensorReport

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
        """Draw the analytic against the numerical gradient, a panel for each tensor.

        Parameters
        ----------
        path : path-like, optional
            Where to save the picture.

        Returns
        -------
        matplotlib.figure.Figure
        """
        from npnet.gradcheck.picture import draw

        return draw(self, path)

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        outcome = "passed" if self.ok else "FAILED"
        if "\n" in self.subject:
            yield f"{self.check}: {outcome}"
            yield self.subject
        else:
            yield f"{self.check}: {self.subject} {outcome}"
        ruled = {violation.message for violation in self.violations}
        for found in self.diagnosis:
            if found.message not in ruled:
                yield f"=> {found}"
        for violation in self.violations:
            yield f"- {violation}"
        if self.tensors:
            yield from _table(self.tensors)
        for tensor in self.failing:
            yield from _worst_lines(tensor)
        for note in self.notes:
            yield f"note: {note}"


def _table(tensors: list[TensorReport]) -> Iterator[str]:
    rows: list[tuple[str, ...]] = [("tensor", "shape", "ok", "wrong", "kink", "noise")]
    rows += [
        (t.name, str(tuple(t.shape)), *(str(t.count(v)) for v in Verdict)) for t in tensors
    ]  # fmt: skip
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [c.ljust(w) if i < 2 else c.rjust(w)
                 for i, (c, w) in enumerate(zip(row, widths, strict=True))]  # fmt: skip
        yield "  ".join(cells)


def _worst_lines(tensor: TensorReport) -> Iterator[str]:
    yield f"worst elements of {tensor.name}:"
    rows = [("index", "analytic", "numerical", "error bar", "verdict", "analytic / numerical")]
    for e in tensor.worst():
        ratio = e.analytic / e.numeric if e.numeric else math.nan
        rows.append((
            str(list(e.index)), f"{e.analytic:.9g}", f"{e.numeric:.9g}", f"{e.error:.1g}",
            e.verdict.name.lower(), f"{ratio:.6g}" if math.isfinite(ratio) else "-",
        ))  # fmt: skip
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield ("  " + "  ".join(c.rjust(w) for c, w in zip(row, widths, strict=True))).rstrip()


def subject_of(checked: Any) -> str:
    """Represent what is checked; a class whose `repr` fails is named instead.

    Parameters
    ----------
    checked : object

    Returns
    -------
    str
    """
    try:
        return repr(checked)
    except Exception:  # a user's __repr__ must not hide the report
        return type(checked).__name__
