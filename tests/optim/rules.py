"""Optimizers that npnet does not ship: each is what it keeps, its options and its rule."""

from typing import ClassVar

import numpy as np

from npnet.optim import Optimizer, StateSpec


class Adagrad(Optimizer):
    state_spec: ClassVar = {
        "sum": StateSpec(initial="initial_accumulator_value", non_negative=True)
    }

    def __init__(self, params, lr=1e-2, initial_accumulator_value=0.0, eps=1e-10):
        super().__init__(
            params,
            {"lr": lr, "initial_accumulator_value": initial_accumulator_value, "eps": eps},
        )

    def update(self, at, options):
        at.state["sum"] += at.grad**2
        at.data -= at.lr * at.grad / (np.sqrt(at.state["sum"]) + options["eps"])


class Rprop(Optimizer):
    state_spec: ClassVar = {
        "prev": StateSpec(),
        "step_size": StateSpec(initial="lr", non_negative=True),
    }

    def __init__(self, params, lr=1e-2, etas=(0.5, 1.2), step_sizes=(1e-6, 50.0)):
        super().__init__(params, {"lr": lr, "etas": etas, "step_sizes": step_sizes})

    def update(self, at, options):
        minus, plus = options["etas"]
        sign = at.grad * at.state["prev"]
        factor = np.where(sign > 0, plus, np.where(sign < 0, minus, 1.0))
        size = at.state["step_size"]
        np.clip(size * factor, *options["step_sizes"], out=size)
        grad = np.where(sign < 0, 0.0, at.grad)
        at.data -= np.sign(grad) * size
        at.state["prev"][:] = grad


class NAdam(Optimizer):
    state_spec: ClassVar = {
        "mu_product": StateSpec(initial=1.0, scalar=True),
        "exp_avg": StateSpec(),
        "exp_avg_sq": StateSpec(non_negative=True),
    }

    def __init__(self, params, lr=2e-3, betas=(0.9, 0.999), eps=1e-8, momentum_decay=4e-3):
        super().__init__(
            params, {"lr": lr, "betas": betas, "eps": eps, "momentum_decay": momentum_decay}
        )

    def update(self, at, options):
        (b1, b2), decay, m, v = options["betas"], options["momentum_decay"], *at.state.values()
        mu, mu_next = (b1 * (1 - 0.5 * 0.96 ** (t * decay)) for t in (at.step, at.step + 1))
        at.scalars["mu_product"] *= mu
        product = at.scalars["mu_product"]
        m += (1 - b1) * (at.grad - m)
        v *= b2
        v += (1 - b2) * at.grad**2
        divisor = np.sqrt(v / (1 - b2**at.step)) + options["eps"]
        at.data -= at.lr * (1 - mu) / (1 - product) * at.grad / divisor
        at.data -= at.lr * mu_next / (1 - product * mu_next) * m / divisor


class LAMB(Optimizer):
    state_spec: ClassVar = {"exp_avg": StateSpec(), "exp_avg_sq": StateSpec(non_negative=True)}

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-6, weight_decay=0.1):
        super().__init__(
            params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        )

    def update(self, at, options):
        (b1, b2), m, v = options["betas"], at.state["exp_avg"], at.state["exp_avg_sq"]
        m *= b1
        m += (1 - b1) * at.grad
        v *= b2
        v += (1 - b2) * at.grad**2
        u = m / (1 - b1**at.step) / (np.sqrt(v / (1 - b2**at.step)) + options["eps"])
        u += options["weight_decay"] * at.data
        for x, step in zip(at.split(at.data), at.split(u), strict=True):
            size, length = np.sqrt((x * x).sum()), np.sqrt((step * step).sum())
            x -= at.lr * (size / length if size and length else 1.0) * step


HISTORY = 3


class LBFGS(Optimizer):
    """L-BFGS without a line search, one evaluation a step."""

    state_spec: ClassVar = {
        "direction": StateSpec(),
        "old_grad": StateSpec(),
        "length": StateSpec(scalar=True),
        "pairs": StateSpec(scalar=True),
        **{f"{letter}{i}": StateSpec() for letter in "sy" for i in range(HISTORY)},
    }

    def __init__(self, params, lr=1.0):
        super().__init__(params, {"lr": lr})

    def update(self, at, options):
        g, d, numbers = at.grad, at.state["direction"], at.scalars
        if at.step > 1:
            y, s = g - at.state["old_grad"], d * numbers["length"]
            if y @ s > 1e-10:
                n = min(int(numbers["pairs"]), HISTORY - 1)
                if numbers["pairs"] == HISTORY:  # the oldest one goes
                    for i in range(n):
                        for letter in "sy":
                            at.state[f"{letter}{i}"][:] = at.state[f"{letter}{i + 1}"]
                at.state[f"s{n}"][:], at.state[f"y{n}"][:] = s, y
                numbers["pairs"] = n + 1.0
        pairs = [(at.state[f"s{i}"], at.state[f"y{i}"]) for i in range(int(numbers["pairs"]))]
        q, weights = -g, []
        for s, y in reversed(pairs):
            weights.append(s @ q / (y @ s))
            q = q - weights[-1] * y
        if pairs:
            s, y = pairs[-1]
            q = q * (y @ s / (y @ y))
        for s, y in pairs:
            q = q + s * (weights.pop() - y @ q / (y @ s))
        d[:], at.state["old_grad"][:] = q, g
        numbers["length"] = at.lr * (min(1.0, 1 / np.abs(g).sum()) if at.step == 1 else 1.0)
        at.data += numbers["length"] * d
