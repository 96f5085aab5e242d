"""Rule, one sentence of the contract with the function that checks it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple


class Finding(NamedTuple):
    """What a rule found, with the tensor that shows it and, if not the rule's, the kind."""

    message: str
    tensor: str = ""
    kind: str = ""


@dataclass(frozen=True)
class Rule:
    """One rule.

    Parameters
    ----------
    name : str
        By which users skip it.
    check : callable
        Takes the object under test; yields a sentence, or a `Finding`, for each violation.
    kind : str
        The `Diagnosis.kind` of its violations; empty if a violation alone says it.
    cheap : bool
        Whether `check_gradients` checks it too.
    follows : tuple of str
        Rules whose violation explains one of this rule.
    """

    name: str
    check: Callable[[Any], Iterator[str | Finding]]
    kind: str = ""
    cheap: bool = False
    follows: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """What the rule says: "The same input gives the same inference output."."""
        text = (self.check.__doc__ or "").strip().split("\n")[0].removeprefix("Check that ")
        return text[:1].upper() + text[1:]
