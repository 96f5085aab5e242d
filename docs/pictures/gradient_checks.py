"""Draw the pictures of docs/how-gradients-are-checked.md.

    python docs/pictures/gradient_checks.py

The numbers in them are measured when the script runs. It needs matplotlib.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

import npnet
from npnet.gradcheck import Report, check_gradients

BLUE, GREEN, RED, GREY = "#0072b2", "#009e73", "#d55e00", "#999999"
EPS = float(np.finfo(np.float64).eps)


class Exp(npnet.Layer):
    """y = exp(x), with a derivative that may be off by a factor."""

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, ctx: npnet.Context, x: Any) -> Any:
        """Compute exp(x)."""
        y = np.exp(x)
        ctx.save(y)
        return y

    def backward(self, ctx: npnet.Context, grad: Any) -> Any:
        """Multiply by the output."""
        return self.factor * grad * ctx.saved[0]


class Bent(npnet.Layer):
    """y = max(x, 0) * min(x, 3), whose backward pass takes the slope 3 from 2 on, not from 3."""

    def forward(self, ctx: npnet.Context, x: Any) -> Any:
        """Multiply both."""
        ctx.save(x)
        return np.maximum(x, 0) * np.minimum(x, 3)

    def backward(self, ctx: npnet.Context, grad: Any) -> Any:
        """Multiply by 0, 2x or 3."""
        (x,) = ctx.saved
        return grad * np.where(x > 2, 3, 2 * np.maximum(x, 0))


def step_error() -> Figure:
    """Draw the errors of differences of exp at 1 over the step, and the error bars of the check."""
    x, true = 1.0, float(np.exp(1.0))
    h = 2.0 ** -np.linspace(0, 50, 201)
    forward, backward = np.exp(x + h), np.exp(x - h)
    above, below = (x + h) - x, x - (x - h)  # the steps really taken
    central = (forward - backward) / (above + below)
    half = (np.exp(x + h / 2) - np.exp(x - h / 2)) / ((x + h / 2) - (x - h / 2))
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    dots: dict[str, Any] = {"linestyle": "", "markersize": 3}
    for name, value, colour, marker in (
        ("one-sided", (forward - np.exp(x)) / above, GREY, "v"),
        ("central", central, BLUE, "o"),
        ("central, two steps extrapolated to zero", (4 * half - central) / 3, GREEN, "s"),
    ):
        error = np.maximum(np.abs(value - true), 1e-16)
        axes.plot(h, error, marker, color=colour, label=name, **dots)
    axes.plot(h, h**2 / 6 * true, color=BLUE, linewidth=0.8, label="cutting off: $h^2 f'''/6$")
    axes.plot(h, EPS * true / h, color=RED, linewidth=0.8, label="rounding: $\\epsilon f / h$")
    for factor, style, name in ((1.0, ":", "first look"), (1.001, "-.", "sweep")):
        report = check_gradients(Exp(factor), np.array([x]), complex_step=False, raises=False)
        tensor = report.tensors[0]
        upstream = abs(tensor.analytic[0]) / (factor * true)
        bar = tensor.error[0] / upstream
        axes.axhline(bar, color="black", linestyle=style, linewidth=1, label=f"error bar: {name}")
    axes.set(xscale="log", yscale="log", ylim=(3e-17, 10), xlabel="step h", ylabel="error")
    axes.invert_xaxis()
    axes.set_title("Differences of exp at 1")
    figure.legend(loc="outside right upper", frameon=False, fontsize="small")
    return figure


def one_sided_slopes() -> Figure:
    """Draw slopes at a kink, and the gap between those on both sides over the step."""
    h = 2.0 ** -np.arange(0.0, 46.0)
    functions = (
        ("kink: |x| + sin(x) at 0", lambda x: np.abs(x) + np.sin(x), 0.0, RED, "X"),
        ("curve: exp(x) at 0.3", np.exp, 0.3, BLUE, "o"),
    )
    figure = Figure(figsize=(8.5, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(2, 3))
    near = np.linspace(-1, 1, 201)
    left.plot(near, np.abs(near) + np.sin(near), color="black", linewidth=2)
    for slope, says in ((2, "right"), (1, "between"), (0, "left"), (2.5, "wrong")):
        colour = {"wrong": RED, "between": GREEN}.get(says, BLUE)
        left.plot(near, slope * near, color=colour, linewidth=1)
        left.text(1.03, slope, f"{slope:g} ({says})", color=colour, va="center")
    left.set(xlim=(-1, 2), ylim=(-1, 2.7), title="|x| + sin(x), and slopes at 0")
    for name, f, x, colour, marker in functions:
        above, below = x + h, x - h
        gap = np.abs((f(above) - f(x)) / (above - x) - (f(x) - f(below)) / (x - below))
        right.plot(
            h, np.where(gap > 0, gap, np.nan), marker, color=colour, markersize=5, label=name
        )
    right.set(xscale="log", yscale="log", xlabel="step h", title="right slope minus left slope")
    right.set_ylim(1e-9, 1e3)
    right.invert_xaxis()
    right.legend(frameon=False)
    return figure


def tied_maximum() -> Figure:
    """Draw the gradients that max(a, b) has where both are equal."""
    figure = Figure(figsize=(5.2, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.fill([0, 1, 1, 0], [0, 0, 1, 1], color="0.93", zorder=0)
    axes.text(0.05, 0.05, "each element alone\nbetween 0 and 1", color="0.4", va="bottom")
    axes.plot([0, 1], [1, 0], color=GREEN, linewidth=2)
    for a, b, colour, marker, text in (
        (0, 1, BLUE, "o", "(0, 1): where b > a"),
        (1, 0, BLUE, "o", "(1, 0): where a > b"),
        (0.5, 0.5, GREEN, "D", "(½, ½): between"),
        (1, 1, RED, "X", "(1, 1): wrong"),
    ):
        axes.plot(a, b, marker, color=colour, markersize=8)
        axes.text(a + 0.05, b + 0.04, text, color=colour)
    axes.set(xlim=(-0.15, 1.6), ylim=(-0.15, 1.25), aspect="equal")
    axes.set(xlabel="gradient of a", ylabel="gradient of b", title="max(a, b) at a = b")
    return figure


def report_of_a_mistake() -> Report:
    """Check a layer that is right below 2, wrong above, and has a kink at 3 and values at it."""
    x = np.linspace(-1, 5, 25).reshape(5, 5)
    return check_gradients(Bent(), x, complex_step=False, raises=False)


def draw(folder: Path) -> list[Path]:
    """Draw all pictures into a folder; return the files."""
    figures = {
        "step_error": step_error(),
        "one_sided_slopes": one_sided_slopes(),
        "tied_maximum": tied_maximum(),
        "report": report_of_a_mistake().plot(),
    }
    paths = []
    for name, figure in figures.items():
        paths.append(folder / f"{name}.png")
        figure.savefig(paths[-1], dpi=100, metadata={"Software": None})
    return paths


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    print("\n".join(map(str, draw(folder))))
