"""Gradient checking: is the backward pass right, and if not, what is wrong with it."""

from npnet.gradcheck.check import check_gradients
from npnet.gradcheck.contract import check_layer
from npnet.gradcheck.report import Diagnosis, Element, Report, TensorReport, Verdict, Violation

__all__ = [
    "Diagnosis",
    "Element",
    "Report",
    "TensorReport",
    "Verdict",
    "Violation",
    "check_gradients",
    "check_layer",
]
