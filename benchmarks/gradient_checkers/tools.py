"""The tools, each with its defaults: a function that returns what it says, None for nothing."""

from __future__ import annotations

import inspect
import logging
import time
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np

from benchmarks.gradient_checkers.wrapped import Subject, Wrapped, filled
from npnet.gradcheck import check_gradients, check_layer
from npnet.typing import Array

SCIPY_LIMIT = 1e-6
"""SciPy returns a distance and no verdict; more than this share of the gradient's norm is wrong."""


def by_check_layer(subject: Subject) -> str | None:
    """Ask `npnet.gradcheck.check_layer`: the gradients and the contract."""
    report = check_layer(subject.make, *subject.inputs, raises=False, **subject.options)
    return None if report.ok else str(report)


def by_check_gradients(subject: Subject) -> str | None:
    """Ask `npnet.gradcheck.check_gradients`."""
    takes = inspect.signature(check_gradients).parameters
    options: Any = {name: value for name, value in subject.options.items() if name in takes}
    layer = subject.make()
    report = check_gradients(layer, *filled(layer, subject.inputs), raises=False, **options)
    return None if report.ok else str(report)


def by_torch(subject: Subject) -> str | None:
    """Ask `torch.autograd.gradcheck` about a `torch.autograd.Function`."""
    import torch
    from torch.autograd.gradcheck import GradcheckError, gradcheck

    wrapped = Wrapped(subject)

    class Function(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *tensors: Any) -> Any:
            ctx.save_for_backward(*tensors)
            found = wrapped.outputs([t.detach().numpy() for t in tensors])
            return tuple(torch.from_numpy(np.array(y)) for y in found)

        @staticmethod
        def backward(ctx: Any, *grads: Any) -> Any:
            arrays = [t.detach().numpy() for t in ctx.saved_tensors]
            found = wrapped.gradients(arrays, [g.detach().numpy() for g in grads])
            return tuple(torch.from_numpy(np.array(g)) for g in found)

    try:
        gradcheck(
            Function.apply, [torch.from_numpy(x.copy()).requires_grad_() for x in wrapped.variables]
        )
    except GradcheckError as error:
        return str(error)
    return None


def by_scipy(subject: Subject) -> str | None:
    """Ask `scipy.optimize.check_grad` about the sum of all outputs with random factors."""
    from scipy.optimize import check_grad

    wrapped = Wrapped(subject)
    rng = np.random.default_rng(0)
    upstream = [rng.normal(size=shape) for shape in wrapped.shapes()]
    ends = np.cumsum([x.size for x in wrapped.variables])[:-1]

    def split(flat: Array) -> list[Array]:
        pairs = zip(np.split(flat, ends), wrapped.variables, strict=True)
        return [part.reshape(x.shape) for part, x in pairs]

    def value(flat: Array) -> float:
        pairs = zip(upstream, wrapped.outputs(split(flat)), strict=True)
        return float(sum(np.sum(r * y) for r, y in pairs))

    def gradient(flat: Array) -> Array:
        return np.concatenate([g.ravel() for g in wrapped.gradients(split(flat), upstream)])

    start = np.concatenate([x.ravel() for x in wrapped.variables])
    distance = check_grad(value, gradient, start)
    allowed = SCIPY_LIMIT * max(1.0, float(np.linalg.norm(gradient(start))))
    return None if distance <= allowed else repr(float(distance))


def by_jax(subject: Subject) -> str | None:
    """Ask `jax.test_util.check_grads` about a `jax.custom_vjp` that calls back to NumPy."""
    import jax
    from jax.test_util import check_grads

    logging.getLogger("jax").setLevel(logging.CRITICAL)  # what the layer raises is reported below
    wrapped = Wrapped(subject)
    out = tuple(jax.ShapeDtypeStruct(shape, np.float64) for shape in wrapped.shapes())
    back = tuple(jax.ShapeDtypeStruct(x.shape, np.float64) for x in wrapped.variables)

    def outputs(*variables: Any) -> Any:
        return tuple(np.asarray(y) for y in wrapped.outputs([np.asarray(x) for x in variables]))

    def gradients(variables: Any, upstream: Any) -> Any:
        arrays = [np.asarray(x) for x in variables], [np.asarray(g) for g in upstream]
        return tuple(np.asarray(g) for g in wrapped.gradients(*arrays))

    @jax.custom_vjp
    def function(*variables: Any) -> Any:
        return jax.pure_callback(outputs, out, *variables)

    function.defvjp(
        lambda *variables: (function(*variables), variables),
        lambda variables, upstream: jax.pure_callback(gradients, back, variables, upstream),
    )
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    try:
        check_grads(function, tuple(wrapped.variables), order=1, modes=["rev"])
    except AssertionError as error:
        return str(error)
    finally:
        jax.config.update("jax_enable_x64", before)
    return None


class Tool(NamedTuple):
    """The package that a tool needs, the function that asks it, and what its message holds."""

    package: str
    ask: Callable[[Subject], str | None]
    message: str


TOOLS = {
    "npnet check_layer": Tool(
        "npnet", by_check_layer, "the cause, the rules broken, each tensor, the worst elements"
    ),
    "npnet check_gradients": Tool(
        "npnet", by_check_gradients, "the cause, each tensor, the worst elements"
    ),
    "torch.autograd.gradcheck": Tool(
        "torch", by_torch, "which output and input; both Jacobians in full"
    ),
    "scipy.optimize.check_grad": Tool("scipy", by_scipy, "one number, the distance"),
    "jax.test_util.check_grads": Tool(
        "jax", by_jax, "two numbers, the derivatives along one direction"
    ),
}


def installed() -> list[str]:
    """List the tools that can be run here."""
    return [name for name, tool in TOOLS.items() if find_spec(tool.package)]


class Answer(NamedTuple):
    """What a tool said about a layer (None: nothing), and how many seconds it took."""

    says: str | None
    seconds: float


def ask(tool: str, subject: Subject) -> Answer:
    """Ask a tool about a layer; that the layer's code raises is an answer too."""
    start = time.perf_counter()
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            says = TOOLS[tool].ask(subject)
    except Exception as error:
        says = f"{type(error).__name__}: {error}"
    return Answer(says, time.perf_counter() - start)
