"""JAX: a hand-written step with Adam under one `jit`, its arguments donated."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.contenders.base import Contender
from benchmarks.timing import Run
from benchmarks.workloads import MLP, Epochs, Inference, Network, Updates, Workload


class Jax(Contender):
    """Steps are dispatched one after another; a turn ends when the last one is done."""

    module = distribution = "jax"
    isolated = slow = True

    def tensor(self, array: np.ndarray) -> Any:
        """Return an array of JAX."""
        import jax

        return jax.device_put(array)

    def predict(self, workload: Inference) -> Run:
        """Compute the outputs in a compiled function."""
        import jax

        x = self.tensor(workload.batches()[0][0])
        params, call = _params(workload), jax.jit(self.model(workload.network))
        return Run(
            lambda: call(params, x).block_until_ready(),
            result=lambda: [np.asarray(call(params, x))],
        )

    def optimize(self, workload: Updates) -> Run:
        """Update in one compiled function."""
        run = _run(functools.partial(_update, workload.method, workload.lr), workload)
        update, grads = run.call, [*map(self.tensor, *workload.batches())]
        return replace(run, call=lambda: update(grads))

    def epoch(self, workload: Epochs) -> Run:
        """Loop over rows of a permutation."""
        ((x, y),), batch = workload.batches(), workload.network.batch
        run = self.training(workload.network, workload.lr)
        step, rng = run.call, np.random.default_rng(0)

        def epoch() -> None:
            order = rng.permutation(len(x))
            for i in range(0, len(x), batch):
                rows = order[i : i + batch]
                step(x[rows], y[rows])

        return replace(run, call=epoch)

    def mlp(self, network: MLP) -> Any:
        """Return the function of parameters and inputs."""
        import jax

        def logits(params: Any, x: Any) -> Any:
            *hidden, (weight, bias) = zip(params[::2], params[1::2], strict=True)
            for w, b in hidden:
                x = jax.nn.relu(x @ w.T + b)
            return x @ weight.T + bias

        return logits

    def training(self, network: Network, lr: float) -> Run:
        """Loss, gradients and update in one compiled function."""
        import jax
        import jax.numpy as jnp

        logits = self.model(network)

        def loss_of(params: Any, x: Any, y: Any) -> Any:
            log_p = jax.nn.log_softmax(logits(params, x))
            return -jnp.take_along_axis(log_p, y[:, None], axis=1).mean()

        def step(params: Any, moments: Any, x: Any, y: Any) -> Any:
            loss, grads = jax.value_and_grad(loss_of)(params, x, y)
            return *_update("adam", lr, params, moments, grads), loss

        return _run(step, network)


def _run(function: Callable[..., Any], workload: Workload) -> Run:
    """Return a run of a function of parameters, moments and more that returns the new ones."""
    import jax
    import jax.numpy as jnp

    compiled = jax.jit(function, donate_argnums=(0, 1))
    params = _params(workload)
    zeros = functools.partial(jax.tree.map, jnp.zeros_like)
    state = params, (jnp.zeros(()), zeros(params), zeros(params))

    def call(*batch: Any) -> None:
        nonlocal state
        params, moments, *_ = compiled(*state, *batch)
        state = params, moments

    return Run(
        call,
        finish=lambda: jax.block_until_ready(state),
        result=lambda: [np.array(p) for p in state[0]],
    )


def _params(workload: Workload) -> Any:
    import jax.numpy as jnp

    return [jnp.array(value) for value in workload.initial()]


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


make = Jax
