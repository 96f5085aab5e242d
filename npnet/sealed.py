"""Sealed, whose objects take no new attributes once they are made, so that typos raise."""

from __future__ import annotations

from typing import Any

from npnet.errors import NameTypoError


class _Sealing(type):
    """Close an object's set of attributes when its constructor returns."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        made = super().__call__(*args, **kwargs)
        object.__setattr__(made, "_sealed", True)
        return made


class Sealed(metaclass=_Sealing):
    """Base of layers, losses and optimizers."""

    _sealed: bool = False

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in vars(self) and self._sealed and not hasattr(self, name):
            from difflib import get_close_matches

            close = get_close_matches(name, vars(self), 1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise NameTypoError(
                f"{type(self).__name__} has no attribute {name!r}{hint} "
                "(new attributes are made in __init__ only)"
            )
        object.__setattr__(self, name, value)
