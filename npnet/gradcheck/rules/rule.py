"""Rule, one sentence of the contract with the function that checks it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple


class Finding(NamedTuple):
    """What a rule found; `kind` is that of the diagnosis if not the rule's, or "note"."""

    message: str
    tensor: str = ""
    kind: str = ""


@dataclass(frozen=True)
class Rule:
    """One rule; `check` takes the object under test and yields what violates it."""

    name: str
    check: Callable[[Any], Iterator[str | Finding]]
    kind: str = ""  # of the `Diagnosis`; empty if a violation alone says it
    cheap: bool = False  # whether `check_gradients` checks it too
    follows: tuple[str, ...] = ()  # rules whose violation explains one of this rule

    @property
    def sentence(self) -> str:
        """What the rule says: "The same input gives the same inference output."."""
        text = (self.check.__doc__ or "").strip().split("\n")[0].removeprefix("Check that ")
        return text[:1].upper() + text[1:]
