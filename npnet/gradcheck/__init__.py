"""Gradient checking: is the backward pass right, and if not, what is wrong with it."""

from npnet.gradcheck.check import check_gradients, check_layer
from npnet.gradcheck.report import (
    Diagnosis,
    Element,
    Example,
    Report,
    TensorReport,
    Verdict,
    Violation,
)

__all__ = [
    "Diagnosis",
    "Element",
    "Example",
    "Report",
    "TensorReport",
    "Verdict",
    "Violation",
    "check_gradients",
    "check_layer",
]
