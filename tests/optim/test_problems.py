"""Every optimizer on Rosenbrock's function and on a badly scaled quadratic."""

import inspect

import numpy as np
import pytest

import npnet
from npnet.schedules import CosineAnnealingLR

SCALES = np.array([1.0, 10.0, 100.0, 1000.0])


def quadratic(x):
    """Curvatures from 1 to 1000; the minimum, 0, is at (3, 3, 3, 3)."""
    return 0.5 * float(SCALES @ (x.ravel() - 3) ** 2), (SCALES * (x.ravel() - 3)).reshape(x.shape)


def rosenbrock(v):
    x, y = v.ravel()
    value = (1 - x) ** 2 + 100 * (y - x * x) ** 2
    slopes = [-2 * (1 - x) - 400 * x * (y - x * x), 200 * (y - x * x)]
    return float(value), np.reshape(slopes, v.shape)


STEPS = 4000
RATES = {  # for Rosenbrock's function and for the quadratic
    "SGD": (2e-3, 1.8e-3), "ASGD": (2e-3, 1.5e-3), "Adam": (0.1, 0.1), "AdamW": (0.1, 0.1),
    "SparseAdam": (0.1, 0.1), "NAdam": (0.1, 0.1), "RAdam": (0.1, 0.1), "Adamax": (0.3, 0.3),
    "RMSprop": (0.01, 0.1), "Adagrad": (0.5, 1.0), "Adadelta": (1.0, 1.0), "Rprop": (0.01, 0.01),
    "Adafactor": (0.03, 0.03), "Lion": (0.01, 0.02), "Lamb": (0.05, 0.05), "Muon": (0.05, 0.05),
    "LBFGS": (1.0, 1.0),
}  # fmt: skip
MORE = {
    "SGD": {"momentum": 0.9}, "ASGD": {"lambd": 0.0, "alpha": 0.0}, "AdamW": {"weight_decay": 0.0},
    "Muon": {"weight_decay": 0.0}, "LBFGS": {"line_search_fn": "strong_wolfe"},
}  # fmt: skip


def optimizers():
    found = [getattr(npnet.optim, name) for name in npnet.optim.__all__]
    return [c for c in found if inspect.isclass(c) and issubclass(c, npnet.optim.Optimizer)
            and c is not npnet.optim.Optimizer]  # fmt: skip


def test_none_is_left_out():
    assert {c.__name__ for c in optimizers()} == set(RATES)


@pytest.mark.parametrize("problem", [rosenbrock, quadratic])
@pytest.mark.parametrize("name", RATES)
def test_finds_the_minimum(name, problem):
    start = [[-0.5, 1.0]] if problem is rosenbrock else [[1.0, 2.0], [4.0, 5.0]]
    p = npnet.Parameter(np.array(start))
    lr = RATES[name][problem is quadratic]
    cosine = CosineAnnealingLR(lr, STEPS)
    schedule = {
        **dict.fromkeys(("SGD", "ASGD", "Adagrad", "Rprop", "LBFGS"), lr),
        "RAdam": lambda step: 1e-3 if step < 6 else cosine(step),  # it begins as SGD does
    }.get(name, cosine)
    optimizer = getattr(npnet.optim, name)([p], lr=schedule, **MORE.get(name, {}))

    def closure():
        value, p.grad = problem(p.data)
        return value

    for _ in range(10 if name == "LBFGS" else STEPS):
        optimizer.step(closure)
    assert problem(p.data)[0] < 1e-3
