"""Whether a contender computed the right thing, by plain float64 NumPy: the race has to be fair."""

from __future__ import annotations

import functools

import numpy as np

from benchmarks import problem
from benchmarks.problem import LEARNING_RATE, MLP, Arrays
from benchmarks.timing import Run

STEPS = 2
TOLERANCE = 0.1
"""Of the distance that the parameters moved. Rates are tiny (see `problem.LEARNING_RATE`), so
rounding to float32 shows; another formula, loss or scale is off by far more."""


class WrongResult(Exception):
    """A contender's result is not the reference's."""


def check_steps(run: Run, mlp: MLP) -> None:
    """Make a fresh run do `STEPS` steps, and compare its parameters with the reference's.

    Parameters
    ----------
    run : Run
        Passed over if it has no result.
    mlp : MLP

    Raises
    ------
    WrongResult
        If they are further apart than the tolerance.
    """
    if run.result is None:
        return
    run.turn(STEPS)
    _compare(run.result(), _steps(mlp), mlp)


def check_updates(run: Run, method: str, mlp: MLP) -> None:
    """Make a fresh run do `STEPS` updates with fixed gradients, and compare, as `check_steps`."""
    if run.result is None:
        return
    run.turn(STEPS)
    params = _double(problem.initial(mlp))
    update = _Update(params, method)
    for _ in range(STEPS):
        update(_double(problem.gradients(mlp)))
    _compare(run.result(), params, mlp)


def check_outputs(run: Run, mlp: MLP) -> None:
    """Compare a run's outputs with the reference's.

    Raises
    ------
    WrongResult
        If they differ by more than float32 explains.
    """
    if run.result is None:
        return
    x, _ = problem.batches(mlp)[0]
    expected = _forward(_double(problem.initial(mlp)), x.astype(float))[-1]
    with run.around():
        got = np.asarray(run.result())
    if got.shape != expected.shape or got.dtype != np.float32:
        raise WrongResult(f"its output is {got.dtype} {got.shape}, not float32 {expected.shape}")
    if not np.allclose(got, expected, rtol=1e-3, atol=1e-3):
        raise WrongResult("its outputs are not the reference's")


def accuracy(weights: Arrays, x: np.ndarray, y: np.ndarray) -> float:
    """Return the share of rows of `x` that a network with these weights puts into class `y`."""
    return float((_forward(weights, x)[-1].argmax(axis=1) == y).mean())


def _double(arrays: Arrays) -> Arrays:
    return [(a.astype(float), b.astype(float)) for a, b in arrays]


def _forward(params: Arrays, x: np.ndarray) -> list[np.ndarray]:
    """Return the input of each layer, and the logits."""
    kept = [x]
    for i, (weight, bias) in enumerate(params):
        z = kept[-1] @ weight.T + bias
        kept.append(z if i == len(params) - 1 else np.maximum(z, 0))
    return kept


@functools.lru_cache(maxsize=1)
def _steps(mlp: MLP) -> Arrays:
    params = _double(problem.initial(mlp))
    update = _Update(params, "adam")
    for x, y in problem.batches(mlp)[:STEPS]:
        kept = _forward(params, x.astype(float))
        e = np.exp(kept[-1] - kept[-1].max(axis=1, keepdims=True))
        grad = (e / e.sum(axis=1, keepdims=True) - np.eye(mlp.sizes[-1])[y]) / len(y)
        grads = []
        for (weight, _), a in zip(reversed(params), reversed(kept[:-1]), strict=True):
            grads.append((grad.T @ a, grad.sum(axis=0)))
            grad = (grad @ weight) * (a > 0)
        update(grads[::-1])
    return params


class _Update:
    """Optimizers as their papers have them, in place."""

    def __init__(self, params: Arrays, method: str) -> None:
        self.flat = [p for pair in params for p in pair]
        self.m = [np.zeros_like(p) for p in self.flat]
        self.v = [np.zeros_like(p) for p in self.flat]
        self.method, self.t = method, 0

    def __call__(self, grads: Arrays) -> None:
        self.t += 1
        grads_flat = [g for pair in grads for g in pair]
        for p, g, m, v in zip(self.flat, grads_flat, self.m, self.v, strict=True):
            if self.method in ("sgd", "momentum"):
                m *= 0.9 if self.method == "momentum" else 0
                m += g
                p -= LEARNING_RATE * m
                continue
            m += 0.1 * (g - m)
            v += 0.001 * (g * g - v)
            if self.method == "adamw":
                p *= 1 - LEARNING_RATE * 1e-2
            root = np.sqrt(v / (1 - 0.999**self.t))
            p -= LEARNING_RATE * m / (1 - 0.9**self.t) / (root + 1e-8)


def _compare(got: Arrays, expected: Arrays, mlp: MLP) -> None:
    moved = apart = 0.0
    for new, right, start in zip(got, expected, problem.initial(mlp), strict=True):
        for a, b, c in zip(new, right, start, strict=True):
            if a.shape != b.shape or a.dtype != np.float32:
                raise WrongResult(f"a parameter is {a.dtype} {a.shape}, not float32 {b.shape}")
            moved += float(((b - c) ** 2).sum())
            apart += float(((a - b) ** 2).sum())
    off = (apart / moved) ** 0.5
    if not off <= TOLERANCE:
        raise WrongResult(f"after {STEPS} steps its parameters are off by {off:.0%} of the way")
