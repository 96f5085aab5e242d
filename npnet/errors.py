"""The exceptions that npnet raises on a user's mistake.

Each says who complains, what was expected and what came, and how to mend it where that is known.
All derive from `NpnetError` and from the built-in exception that a Python user would expect.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence


class NpnetError(Exception):
    """Base of all npnet exceptions.

    Parameters
    ----------
    message : str
        What was expected, what came, and the fix.
    layer : Layer, Loss or None
        Who complains; its representation opens the text.

    Attributes
    ----------
    place : str
        The layer's name inside the model that was called (``"2"``, ``"encoder.0"``), or ``""``.
    """

    def __init__(self, message: str, layer: Any = None) -> None:
        super().__init__(message)
        self.layer = layer
        self.place = ""

    def locate(self, root: Any) -> None:
        """Note the name of the complaining layer inside `root`, the layer that the user called."""
        if self.layer is not None and not self.place:
            names = (name for name, layer in root.named_layers() if layer is self.layer)
            self.place = next(names, "")

    def __str__(self) -> str:
        message = super().__str__()
        if self.layer is None:
            return message
        who = repr(self.layer)
        if "\n" in who:  # a container, which shows all its layers
            who = type(self.layer).__name__
        place = f" (layer {self.place!r} of the model)" if self.place else ""
        return f"{who}{place}: {message}"


class ShapeError(NpnetError, ValueError):
    """An array has the wrong shape."""


class DtypeError(NpnetError, TypeError):
    """An array has a dtype that npnet does not compute with (complex, object, string)."""


class ArgumentError(NpnetError, ValueError):
    """A constructor or function argument is out of its range or unknown."""


class SignatureError(ArgumentError, TypeError):
    """A constructor is given arguments that it does not have, or too few of them."""


class TargetError(NpnetError, ValueError):
    """A label or target is out of range, fractional or otherwise not a target."""


class TapeError(NpnetError, RuntimeError):
    """A recorded pass is used twice, or where there is none."""


class StateError(NpnetError, ValueError):
    """A state dictionary or weight file does not fit the object it is loaded into."""


class DataError(NpnetError, ValueError):
    """Data is empty, of mismatched lengths, missing or corrupt."""


class MissingDependency(NpnetError, ImportError):
    """An optional library is not installed."""


class NameTypoError(NpnetError, AttributeError):
    """An attribute is set or asked for that an object does not have."""


class MissingMethod(NpnetError, NotImplementedError):
    """A subclass lacks a method that it has to write."""


class UnknownNameError(NpnetError, KeyError):
    """A mapping is asked for a name that it does not have."""

    def __str__(self) -> str:
        return str(self.args[0])


class UnknownIndexError(NpnetError, IndexError):
    """A sequence is asked for a position that it does not have."""


class GradientMismatch(NpnetError, AssertionError):
    """An analytic gradient differs from the numerical one."""


def shape_error(
    layer: Any, expected: str, got: Sequence[int], hint: str = "", *, what: str = "input"
) -> ShapeError:
    """Build the shape error of a layer or loss.

    Parameters
    ----------
    layer : Layer or Loss
        Who complains.
    expected : str
        The shape expected, as a reader writes it: ``"(..., 784)"``.
    got : sequence of int
        The shape that came.
    hint : str
        The fix, if it is known.
    what : str
        What has the shape: ``"input"``, ``"target"``, ``"gradient"``.

    Returns
    -------
    ShapeError
        To be raised by the caller.

    Examples
    --------
    >>> str(shape_error(None, "(..., 784)", (32, 100)))
    'expected input of shape (..., 784), got (32, 100)'
    """
    text = f"expected {what} of shape {expected}, got {tuple(got)}"
    return ShapeError(f"{text}; {hint}" if hint else text, layer)
