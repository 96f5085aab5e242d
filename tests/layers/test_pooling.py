"""Pooling against PyTorch and against naive loops: arguments, ties, NaN, edges, both forms."""

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
    except RuntimeError as error:
        if "smaller than kernel" in str(error):
            return False  # only its AvgPool3d refuses these with ceil_mode
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
    if y.size:
        expected.backward(torch.from_numpy(grad))
    more = (None,) if ours.get_config().get("return_indices") else ()
    dx = tape.backward(grad, *more, input_grad=True)
    np.testing.assert_allclose(dx, tensor.grad.numpy() if y.size else np.zeros(x.shape), **close)
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
    for seed in range(40):
        options = drawn_options(rng, kind, axes)
        lead = [(2, 3), (3,), (0, 2), (1, 1)][rng.integers(4)]
        x = rng.normal(size=(*lead, *rng.integers(1, 10 - axes, axes)))
        if kind == "LPPool" and rng.random() < 0.7:
            x = np.abs(x)
        if kind != "LPPool" and rng.random() < 0.5:
            x = np.round(x)  # ties
        done += compare(f"{kind}{axes}d", options, x, torch, seed, rtol=1e-9, atol=1e-12)
    assert done > 15


@pytest.mark.parametrize("kind", KINDS)
def test_special_values_against_torch(kind, implementation):
    torch = pytest.importorskip("torch", reason="needs the oracle: pip install torch")
    rng = np.random.default_rng(5)
    for seed in range(30):
        options = drawn_options(rng, kind, 2)
        values = [np.nan, np.inf, -np.inf, 0.0, 1.0, -1.0, 1e300, 5e-324]
        p = [0.1, 0.1, 0.3, 0.2, 0.1, 0.1, 0.05, 0.05]
        x = rng.choice(values, (2, 2, 5, 6), p=p)
        if options.get("norm_type") == 0.5:
            x = np.abs(x)  # PyTorch's powers of -inf are NaN, C's are not
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


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_windows_of_more_than_256_elements(dtype, implementation):
    rng = np.random.default_rng(0)
    x = rng.permuted(np.arange(2 * 3 * 20 * 21)).reshape(2, 3, 20, 21).astype(dtype)
    for layer in (npnet.MaxPool2d((20, 21), return_indices=True),
                  npnet.AdaptiveMaxPool2d(1, return_indices=True)):  # fmt: skip
        layer.astype(dtype)
        (y, where), tape = layer.record(x)
        flat = x.reshape(2, 3, -1)
        np.testing.assert_array_equal(where.reshape(2, 3), flat.argmax(-1))
        np.testing.assert_array_equal(y.reshape(2, 3), flat.max(-1))
        dx = tape.backward(np.full((2, 3, 1, 1), 5.0), None, input_grad=True)
        np.testing.assert_array_equal(dx, 5.0 * (x == y))


@pytest.mark.parametrize("make", [
    lambda: npnet.MaxPool2d(2), lambda: npnet.MaxPool2d(3, 2, 1), lambda: npnet.AvgPool2d(2),
    lambda: npnet.AvgPool2d(3, 2, 1), lambda: npnet.LPPool2d(2, 2),
    lambda: npnet.AdaptiveAvgPool2d(3), lambda: npnet.AdaptiveMaxPool2d((1, None)),
])  # fmt: skip
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_blocks_and_memory_orders_do_not_matter(make, dtype, implementation):
    rng = np.random.default_rng(0)
    layer = make()
    x = rng.normal(size=(3, 50, 24, 24)).astype(dtype)  # several blocks, the last one shorter
    y, tape = layer.record(x)
    grad = rng.normal(size=y.shape).astype(dtype)
    dx = tape.backward(grad, input_grad=True)
    rtol = 64 * np.finfo(dtype).eps
    for i in (0, 77, 149):
        part, tape = layer.record(x.reshape(150, 1, 24, 24)[i])
        np.testing.assert_allclose(y.reshape(150, 1, *y.shape[2:])[i], part, rtol=rtol)
        expected = tape.backward(grad.reshape(150, 1, *y.shape[2:])[i], input_grad=True)
        np.testing.assert_allclose(dx.reshape(150, 1, 24, 24)[i], expected, rtol=rtol)
    channels_last = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    again, tape = layer.record(channels_last)
    np.testing.assert_allclose(again, y, rtol=rtol)
    reverse = grad[:, :, ::-1].copy()[:, :, ::-1]
    np.testing.assert_allclose(tape.backward(reverse, input_grad=True), dx, rtol=rtol)


def test_a_pass_of_max_pooling_keeps_a_byte_for_each_output():
    x = np.ones((4, 3, 8, 8), np.float32)
    _, tape = npnet.MaxPool2d(2).record(x)
    (places,) = tape._ctx.saved
    assert places.nbytes == 4 * 3 * 4 * 4
    _, tape = npnet.AvgPool2d(2).record(x)
    assert tape._ctx.saved == ()


def test_indices_have_no_gradient_and_values_may_be_unused():
    layer = npnet.MaxPool1d(2, return_indices=True)
    (y, where), tape = layer.record([[3.0, 1.0, 2.0, 4.0]])
    y[:] = where[:] = 0  # what was handed out is not read again
    np.testing.assert_array_equal(
        tape.backward([[1.0, 2.0]], None, input_grad=True), [[1, 0, 0, 2]]
    )
    _, tape = layer.record([[3.0, 1.0, 2.0, 4.0]])
    np.testing.assert_array_equal(
        tape.backward(None, np.ones((1, 2), int), input_grad=True), np.zeros((1, 4))
    )


# --- the way back


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_random_unpooling_against_torch(axes):
    torch = pytest.importorskip("torch", reason="needs the oracle: pip install torch")
    rng = np.random.default_rng(axes)
    for _ in range(25):
        kernel, lead = one_or_each(rng, 1, 4, axes), [(2, 3), (3,), (0, 2)][rng.integers(3)]
        x = rng.normal(size=(*lead, *rng.integers(3, 8, axes)))
        values, where = getattr(npnet, f"MaxPool{axes}d")(kernel, return_indices=True)(x)
        size = None if rng.random() < 0.5 else x.shape[-axes:] if rng.random() < 0.5 else x.shape
        ours, theirs = (getattr(m, f"MaxUnpool{axes}d")(kernel) for m in (npnet, torch.nn))
        if size is None:
            size = theirs(torch.from_numpy(values), torch.zeros(where.shape).long()).shape[-axes:]
            if (where >= np.prod(size)).any():
                continue
        elif len(size) == axes + 1:
            size = size[1:]
        tensor = torch.from_numpy(values.copy()).requires_grad_()
        expected = theirs(tensor, torch.from_numpy(where), output_size=size)
        y, tape = ours.record(values, where, output_size=size)
        np.testing.assert_array_equal(y, expected.detach().numpy())
        grad = rng.normal(size=y.shape)
        expected.backward(torch.from_numpy(grad))
        dx, *others = tape.backward(grad, input_grad=True)
        np.testing.assert_array_equal(dx, tensor.grad.numpy())
        assert others == [None, None]


def test_of_values_at_one_index_the_last_is_written_and_has_the_gradient():
    layer, x, where = npnet.MaxUnpool1d(2), np.array([[1.0, 2.0, 3.0]]), np.array([[1, 1, 3]])
    y, tape = layer.record(x, where)
    assert y.tolist() == [[0, 2, 0, 3, 0, 0]]
    dx, _ = tape.backward([[1.0, 2, 3, 4, 5, 6]], input_grad=True)
    assert dx.tolist() == [[0, 2, 4]]
    assert check_layer(npnet.MaxUnpool1d(2), x, where).ok


# --- mistakes


@pytest.mark.parametrize(("call", "error", "match"), [
    (lambda: npnet.MaxPool2d(0), ArgumentError, "kernel_size"),
    (lambda: npnet.MaxPool2d((2, 2, 2)), ArgumentError, "one for each of 2 axes"),
    (lambda: npnet.MaxPool2d(2**30), ArgumentError, "kernel_size"),
    (lambda: npnet.MaxPool2d(2, 0), ArgumentError, "stride"),
    (lambda: npnet.MaxPool2d(3, padding=2), ArgumentError, "at most half"),
    (lambda: npnet.AvgPool2d((2, 4), padding=(1, 3)), ArgumentError, "at most half"),
    (lambda: npnet.MaxPool2d(2, pool_size=2), ArgumentError, "it is kernel_size"),
    (lambda: npnet.MaxPool2d(2, return_indices=1), ArgumentError, "return_indices"),
    (lambda: npnet.AvgPool2d(2, divisor_override=0), ArgumentError, "divisor_override"),
    (lambda: npnet.AvgPool1d(2, divisor_override=3), ArgumentError, "divisor_override"),
    (lambda: npnet.LPPool2d(0, 2), ArgumentError, "norm_type"),
    (lambda: npnet.AdaptiveAvgPool2d((1, 2, 3)), ArgumentError, "output_size"),
    (lambda: npnet.AdaptiveMaxPool1d(-1), ArgumentError, "output_size"),
    (lambda: npnet.MaxPool2d(2)(np.ones((4, 4))), ShapeError, r"\(N, C, H, W\) or \(C, H, W\)"),
    (lambda: npnet.MaxPool1d(2)(np.ones(4)), ShapeError, r"\(N, C, L\)"),
    (lambda: npnet.AvgPool3d(2)(np.ones((4, 4, 4))), ShapeError, r"\(C, D, H, W\)"),
    (lambda: npnet.AvgPool2d(3)(np.ones((1, 1, 4, 2))), ShapeError, "no window of size 3 fits"),
    (lambda: npnet.MaxPool1d(2, padding=1, dilation=5)(np.ones((1, 4))), ShapeError, "padding"),
    (lambda: npnet.AdaptiveAvgPool2d(1)(np.ones((2, 3, 0, 4))), ShapeError, "nothing to pool"),
    (lambda: npnet.MaxUnpool1d(2)([[1.0]], [[0.5]]), DtypeError, "integers"),
    (lambda: npnet.MaxUnpool1d(2)([[1.0]], [[0, 1]]), ShapeError, "indices"),
    (lambda: npnet.MaxUnpool1d(2)([[1.0]], [[2]]), UnknownIndexError, "0 to 1"),
    (lambda: npnet.MaxUnpool1d(2)([[1.0]], [[-1]]), UnknownIndexError, "0 to 1"),
    (lambda: npnet.MaxUnpool1d(2)([[1.0]], [[0]], (4,)), ShapeError, "less than the stride"),
    (lambda: npnet.MaxUnpool1d(2)([[1.0]], [[0]], (4, 4)), ShapeError, "1 integers, or 3"),
    (lambda: npnet.MaxUnpool1d(2)(np.ones((1, 0)), np.ones((1, 0), int)), ShapeError, "sizes"),
    (lambda: Planes().windows(np.ones(3)), MissingMethod, "windows"),
])  # fmt: skip
def test_mistakes_are_named(call, error, match):
    with pytest.raises(error, match=match):
        call()
