"""The register of planted bugs: layers and losses, each with one thing wrong."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

# False of any bug whose `cause` does not mention them.
_CLAIMS = {
    "stale": r"stale|earlier call|previous call",
    "float32": r"computed in float32|in float32 somewhere|about seven digits",
    "condition": r"condition[^.]{0,20}inverted|exactly where it should not be",
    "random": r"non-deterministic|random numbers of its own",
    "transpos": r"is transposed|are transposed",
    "overwr": r"overwrites the gradient|instead of adding",
    "in place": r"wrote into|changed (its|the) (input|upstream)",
    "sum": r"not summed over",
    "batch": r"is the batch size",
    "clip": r"clipped or normalised|not proportional to the upstream",
    "step function": r"step function",
    "swap": r"is stored as that of|is added to that of",
}


class Mutant(NamedTuple):
    """A layer with one bug.

    `says` are the kinds of diagnosis or the names of broken rules of which at least one must be
    in the report; empty if the bug has no name, so that finding it is enough. `cause` is a
    regular expression for the words that a right explanation contains, `misleading` one for
    words that are wrong about this bug.
    """

    make: Callable[[], Any]
    inputs: tuple[Any, ...]
    says: tuple[str, ...]
    bug: str
    cause: str = ""
    misleading: str = ""

    def named(self, report: Any) -> bool | None:
        """Whether the report says what is wrong; None if nothing was asked of it."""
        if not self.says and not self.cause:
            return None
        kinds = {d.kind for d in report.diagnosis} | {v.rule for v in report.violations}
        return bool(kinds & set(self.says)) or bool(self.cause and self._find(self.cause, report))

    def misled(self, report: Any) -> str:
        """What the report says that is wrong about this bug, or an empty string."""
        return self._find(self.misleading, report) if self.misleading else ""

    def _find(self, pattern: str, report: Any) -> str:
        text = "\n".join(f"{item}" for item in (*report.diagnosis, *report.violations)).lower()
        # Names chosen here would give the answer away.
        text = re.sub(rf"\b{self.make.__name__.lower()}\b|\w+\.py", "layer", text)
        found = re.search(pattern, text, re.DOTALL)
        return found[0] if found else ""


MUTANTS: dict[str, Mutant] = {}


def planted(
    *inputs: Any,
    says: tuple[str, ...] | str = (),
    bug: str = "",
    cause: str = "",
    misleading: str = "",
) -> Callable[[Any], Any]:
    """Register the decorated class or function as a mutant that is checked with `inputs`."""

    def register(make: Any) -> Any:
        name = make.__name__
        assert name not in MUTANTS, name
        names = (says,) if isinstance(says, str) else says
        wrong = [claim for word, claim in _CLAIMS.items() if cause and word not in cause]
        wrong += [misleading] if misleading else []
        text = bug or (make.__doc__ or "").strip()
        MUTANTS[name] = Mutant(make, inputs, names, text, cause, "|".join(wrong))
        return make

    return register


def lacks(what: str) -> str:
    """Make an expression for sentences that say that `what` is missing."""
    before = r"lacks|missing|forg[eo]t|without|left out|leaves out|ignor|skips|takes|only|not "
    after = r"missing|lacks|forg[eo]t|left out|ignored|constant|differentiated|depends|skipped"
    return rf"({before}).{{0,90}}({what})|({what}).{{0,90}}({after})"


def normal(*shape: int, scale: float = 1.0, shift: float = 0.0) -> Any:
    return shift + scale * np.random.default_rng(7).normal(size=shape)


# What several families need.
COUPLING = lacks("mean|sum|norm|variance|statistic") + "|multiple of the output|affine"
FACTOR = r"factor|times the|1/\d|\d/\d|of the true one|constant"
FLOAT32 = "float32"
NOT_FINITE = r"not finite|\bnan\b|infinit"
STALE = "stale|state on self|on self|between calls|earlier call|disturb|repeatable|kept"
