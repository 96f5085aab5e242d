"""Pooling against PyTorch and against naive loops: arguments, ties, NaN, edges, both forms."""

import itertools

import numpy as np
import pytest

import npnet
from npnet.errors import (
    ArgumentError,
    DtypeError,
    MissingMethod,
    NpnetError,
    ShapeError,
    UnknownIndexError,
)
from npnet.gradcheck import check_layer
from npnet.ops import pool_windows
from npnet.pooling import Planes

KINDS = ["MaxPool", "AvgPool", "LPPool", "AdaptiveAvgPool", "AdaptiveMaxPool"]
INDICES = ("MaxPool", "AdaptiveMaxPool")


@pytest.fixture(params=["numpy", "numba"])
def implementation(request):
    if request.param == "numba":
        pytest.importorskip("numba")
    before = npnet.ops.active()
    npnet.ops.use(request.param)
    yield request.param
    npnet.ops.use(before)


def compare(name, options, x, torch, seed=0, **close):
    """Compare values, indices and gradients of one layer with PyTorch's; or both raise."""
    theirs = getattr(torch.nn, name)(**options)
    tensor = torch.from_numpy(x.copy()).requires_grad_()
    try:
        expected = theirs(tensor)
    except RuntimeError:
        with pytest.raises(NpnetError):
            getattr(npnet, name)(**options).record(x)
        return False
    ours = getattr(npnet, name)(**options)
    if name.startswith("MaxPool") and any(each.has_empty for each in sliding(ours, x)):
        with pytest.raises(ShapeError, match="only padding"):
            ours(x)  # PyTorch gives -inf, and writes the gradient beside the array
        return False
    y, tape = ours.record(x)
    inferred = ours(x)
    if isinstance(y, tuple):
        np.testing.assert_array_equal(y[1], expected[1].numpy())
        np.testing.assert_array_equal(inferred[1], y[1])
        assert y[1].dtype == np.int64
        y, inferred, expected = y[0], inferred[0], expected[0]
    np.testing.assert_allclose(y, expected.detach().numpy(), **close)
    np.testing.assert_allclose(inferred, y, rtol=1e-12)
    grad = np.random.default_rng(seed).normal(size=y.shape)
    expected.backward(torch.from_numpy(grad))
    more = (None,) if ours.get_config().get("return_indices") else ()
    dx = tape.backward(grad, *more, input_grad=True)
    np.testing.assert_allclose(dx, tensor.grad.numpy(), **close)
    return True


def sliding(layer, x):
    names = ("kernel_size", "stride", "padding", "dilation")
    sizes = [layer.each(getattr(layer, name)) for name in names]
    return pool_windows.sliding(x.shape[x.ndim - layer.spatial_axes :], *sizes, layer.ceil_mode)


def one_or_each(rng, low, high, axes):
    """Draw an integer, or a tuple of one for each axis."""
    drawn = rng.integers(low, high, axes).tolist()
    return drawn[0] if rng.random() < 0.5 else tuple(drawn)


def drawn_options(rng, kind, axes):
    if kind.startswith("Adaptive"):
        options = {"output_size": one_or_each(rng, 0 if rng.random() < 0.1 else 1, 8, axes)}
        if axes > 1 and rng.random() < 0.2:
            options["output_size"] = (None, *rng.integers(1, 5, axes - 1).tolist())
    else:
        options = {"kernel_size": one_or_each(rng, 1, 5, axes)}
        if rng.random() < 0.7:
            options["stride"] = one_or_each(rng, 1, 5, axes)
        options["ceil_mode"] = bool(rng.random() < 0.5)
        half = np.min(options["kernel_size"]) // 2
        if kind != "LPPool":
            options["padding"] = one_or_each(rng, 0, half + 1, axes)
    if kind == "MaxPool":
        options["dilation"] = one_or_each(rng, 1, 3, axes)
    if kind in INDICES:
        options["return_indices"] = bool(rng.random() < 0.5)
    if kind == "AvgPool":
        options["count_include_pad"] = bool(rng.random() < 0.5)
        if axes > 1 and rng.random() < 0.3:
            options["divisor_override"] = int(rng.choice([-3, 1, 7]))
    if kind == "LPPool":
        options["norm_type"] = rng.choice([1, 2, 3, 1.5, -1, 0.5, np.inf, -np.inf]).item()
        if axes == 1 and isinstance(options["kernel_size"], tuple):
            options["kernel_size"] = options["kernel_size"][0]
    return options


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_random_layers_against_torch(kind, axes, implementation):
    torch = pytest.importorskip("torch", reason="needs the oracle: pip install torch")
    rng = np.random.default_rng(axes)
    done = 0
    for seed in range(60):
        options = drawn_options(rng, kind, axes)
        lead = [(2, 3), (3,), (0, 2), (1, 1)][rng.integers(4)]
        x = rng.normal(size=(*lead, *rng.integers(1, 10 - axes, axes)))
        if kind == "LPPool" and rng.random() < 0.7:
            x = np.abs(x)
        if kind != "LPPool" and rng.random() < 0.5:
            x = np.round(x)  # ties
        done += compare(f"{kind}{axes}d", options, x, torch, seed, rtol=1e-9, atol=1e-12)
    assert done > 25


@pytest.mark.parametrize("kind", KINDS)
def test_special_values_against_torch(kind, implementation):
    torch = pytest.importorskip("torch", reason="needs the oracle: pip install torch")
    rng = np.random.default_rng(5)
    for seed in range(40):
        options = drawn_options(rng, kind, 2)
        values = [np.nan, np.inf, -np.inf, 0.0, 1.0, -1.0, 1e308, 5e-324]
        p = [0.1, 0.1, 0.3, 0.2, 0.1, 0.1, 0.05, 0.05]
        x = rng.choice(values, (2, 2, 5, 6), p=p)
        compare(f"{kind}2d", options, x, torch, seed, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("norm", [1, 2, 3, 1.5, 0.5, -1, -2, np.inf, -np.inf])
def test_power_averages_at_zero_and_of_either_sign_are_those_of_torch(norm):
    torch = pytest.importorskip("torch", reason="needs the oracle: pip install torch")
    x = np.array([[0.0, 0, 1, -1, -2, 1, 0, 2, 2, 3, -1, 0, -3]])
    for ceil_mode in (False, True):
        options = {"norm_type": norm, "kernel_size": 2, "ceil_mode": ceil_mode}
        compare("LPPool1d", options, x, torch, rtol=1e-12)
    y, tape = npnet.LPPool1d(2, 2).record(np.zeros((1, 4)))
    assert not tape.backward(np.ones((1, 2)), input_grad=True).any()
