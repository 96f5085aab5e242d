"""JAX: a hand-written step with Adam under one `jit`, its arguments donated."""

from __future__ import annotations

import functools
from itertools import cycle
from typing import Any

import numpy as np

from benchmarks import problem
from benchmarks.contenders.base import Contender
from benchmarks.problem import LEARNING_RATE, MLP, Arrays
from benchmarks.timing import Run


class Jax(Contender):
    """Steps are dispatched one after another; a turn ends when the last one is done."""

    module = distribution = "jax"
    isolated = slow = True

    def step(self, mlp: MLP) -> Run:
        """Loss, gradients and update in one compiled function."""
        import jax

        training = _Training(mlp, LEARNING_RATE)
        data = cycle([tuple(map(jax.device_put, pair)) for pair in problem.batches(mlp)])
        return training.run(lambda: training.step(*next(data)))

    def predict(self, mlp: MLP) -> Run:
        """Compute the outputs in a compiled function."""
        import jax

        x = jax.device_put(problem.batches(mlp)[0][0])
        params, call = _params(mlp), jax.jit(_logits)
        return Run(
            lambda: call(params, x).block_until_ready(),
            result=lambda: np.asarray(call(params, x)),
        )

    def optimize(self, method: str, mlp: MLP) -> Run:
        """Update in one compiled function."""
        import jax

        update = jax.jit(functools.partial(_update, method, LEARNING_RATE), donate_argnums=(0, 1))
        state = _state(_params(mlp))
        grads = jax.tree.map(jax.device_put, problem.gradients(mlp))

        def call() -> None:
            nonlocal state
            state = update(*state, grads)

        return Run(
            call, finish=lambda: jax.block_until_ready(state), result=lambda: _weights(state[0])
        )

    def epoch(self, mlp: MLP, images: int | None) -> Run:
        """Loop over rows of a permutation."""
        training = _Training(mlp, 1e-3)
        x, y = problem.mnist(images)[0]
        rng = np.random.default_rng(0)

        def epoch() -> None:
            order = rng.permutation(len(x))
            for i in range(0, len(x), mlp.batch):
                rows = order[i : i + mlp.batch]
                training.step(x[rows], y[rows])

        return training.run(epoch)


class _Training:
    """Parameters and Adam's state, which a compiled step replaces."""

    def __init__(self, mlp: MLP, lr: float) -> None:
        import jax

        def step(params: Any, moments: Any, x: Any, y: Any) -> Any:
            loss, grads = jax.value_and_grad(_loss)(params, x, y)
            return _update("adam", lr, params, moments, grads), loss

        self.state = _state(_params(mlp))
        self._step = jax.jit(step, donate_argnums=(0, 1))

    def step(self, x: Any, y: Any) -> None:
        self.state, self.loss = self._step(*self.state, x, y)

    def run(self, call: Any) -> Run:
        import jax

        return Run(
            call,
            finish=lambda: jax.block_until_ready(self.state),
            result=lambda: _weights(self.state[0]),
        )


def _params(mlp: MLP) -> Any:
    import jax.numpy as jnp

    return [(jnp.array(weight), jnp.array(bias)) for weight, bias in problem.initial(mlp)]


def _state(params: Any) -> Any:
    import jax
    import jax.numpy as jnp

    zeros = functools.partial(jax.tree.map, jnp.zeros_like)
    return params, (jnp.zeros(()), zeros(params), zeros(params))


def _logits(params: Any, x: Any) -> Any:
    import jax

    for weight, bias in params[:-1]:
        x = jax.nn.relu(x @ weight.T + bias)
    weight, bias = params[-1]
    return x @ weight.T + bias


def _loss(params: Any, x: Any, y: Any) -> Any:
    import jax
    import jax.numpy as jnp

    log_p = jax.nn.log_softmax(_logits(params, x))
    return -jnp.take_along_axis(log_p, y[:, None], axis=1).mean()


def _update(method: str, lr: float, params: Any, moments: Any, grads: Any) -> Any:
    import jax
    import jax.numpy as jnp

    t, m, v = moments
    each, t = jax.tree.map, t + 1
    if method == "sgd":
        return each(lambda p, g: p - lr * g, params, grads), (t, m, v)
    if method == "momentum":
        m = each(lambda m, g: 0.9 * m + g, m, grads)
        return each(lambda p, m: p - lr * m, params, m), (t, m, v)
    m = each(lambda m, g: 0.9 * m + 0.1 * g, m, grads)
    v = each(lambda v, g: 0.999 * v + 0.001 * g * g, v, grads)
    keep = 1 - lr * 1e-2 if method == "adamw" else 1
    c, d = 1 - 0.9**t, 1 - 0.999**t
    params = each(lambda p, m, v: keep * p - lr * (m / c) / (jnp.sqrt(v / d) + 1e-8), params, m, v)
    return params, (t, m, v)


def _weights(params: Any) -> Arrays:
    return [(np.array(weight), np.array(bias)) for weight, bias in params]


make = Jax
