"""Padding, resizing and moving of elements: beside PyTorch, against definitions, at the edges."""

import contextlib
import itertools

import numpy as np
import pytest

import npnet
from npnet.errors import ArgumentError, ShapeError
from npnet.gradcheck import check_layer

PADS = ["ZeroPad", "ConstantPad", "ReflectionPad", "ReplicationPad", "CircularPad"]
MODES = {"nearest": (1, 2, 3), "linear": (1,), "bilinear": (2,), "bicubic": (2,),
         "trilinear": (3,)}  # fmt: skip


def both(torch, ours, theirs, x, rng):
    """Compare values and gradients, or that both refuse; return whether they computed.

    Where no element is left, PyTorch refuses or returns memory that nobody wrote as a gradient.
    """
    t = torch.from_numpy(x).requires_grad_()
    try:
        expected = theirs(t)
    except (RuntimeError, ValueError, NotImplementedError):
        expected = None
    if expected is None or expected.numel() == 0:
        with contextlib.suppress(ShapeError):
            y, tape = ours.record(x)
            assert y.size == 0
            assert not tape.backward(y, input_grad=True).any()
        return False
    upstream = rng.normal(size=tuple(expected.shape))
    expected.backward(torch.from_numpy(upstream))
    y, tape = ours.record(x)
    close = {"rtol": 1e-9, "atol": 1e-12}
    np.testing.assert_allclose(y, expected.detach().numpy(), **close)
    np.testing.assert_allclose(tape.backward(upstream, input_grad=True), t.grad.numpy(), **close)
    return True


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("kind", PADS)
def test_random_pads_beside_torch(kind, axes, rng):
    torch = pytest.importorskip("torch", reason="needs the oracle: pip install torch")
    name, computed = f"{kind}{axes}d", 0
    for trial in range(60):
        # Both of cut off and added are left to the next test.
        padding = tuple(rng.integers(-2, 1, 2 * axes) if trial % 3 == 0 else
                        rng.integers(0, 4, 2 * axes))  # fmt: skip
        padding = int(padding[0]) if trial % 5 == 0 else tuple(map(int, padding))
        args = (padding, 1.5) if kind == "ConstantPad" else (padding,)
        shape = (2, 2, *rng.integers(1, 6, axes))
        x = rng.normal(size=shape if trial % 4 else shape[1:])
        computed += both(torch, getattr(npnet, name)(*args), getattr(torch.nn, name)(*args), x, rng)
    assert 10 < computed <= 60


@pytest.mark.parametrize(("mode", "kind"), [("reflect", "Reflection"), ("edge", "Replication"),
                                            ("constant", "Zero")])  # fmt: skip
def test_what_is_cut_off_is_still_repeated(mode, kind):
    x = np.arange(5.0)[np.newaxis]
    pad = getattr(npnet, f"{kind}Pad1d")
    for left, right in itertools.product(range(-3, 4), repeat=2):
        whole = np.pad(x, ((0, 0), (max(left, 0), max(right, 0))), mode)
        width = whole.shape[1]
        expected = whole[:, max(-left, 0) : width - max(-right, 0)]
        if expected.size:
            np.testing.assert_array_equal(pad((left, right))(x), expected)


def test_a_circle_is_closed_after_the_cut():
    x = np.arange(5.0)[np.newaxis]
    assert npnet.CircularPad1d((-2, 3))(x).tolist() == [[2, 3, 4, 2, 3, 4]]
    with pytest.raises(ShapeError, match="at least 6 elements along axis 1"):
        npnet.CircularPad1d((-3, 3))(x)  # PyTorch returns memory that nobody wrote


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_pads_of_any_value(value):
    y = npnet.ConstantPad1d(1, value)([[1.0]])
    np.testing.assert_array_equal(y, [[value, 1, value]])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("align_corners", [None, False, True])
def test_random_sizes_beside_torch(mode, align_corners, rng):
    torch = pytest.importorskip("torch", reason="needs the oracle: pip install torch")
    if mode == "nearest" and align_corners is not None:
        with pytest.raises(ArgumentError, match="align_corners"):
            npnet.Upsample(2, align_corners=align_corners)
        return
    for trial in range(60):
        axes = rng.choice(MODES[mode])
        if trial % 2:
            options = {"size": tuple(map(int, rng.integers(1, 12, axes)))}
        else:
            # PyTorch's gradients are another function's where a factor leaves the size as it is.
            factors = rng.choice([0.5, 0.6, 1.0, 1.6, 2.0, 2.3, 3.0], axes)
            options = {"scale_factor": tuple(map(float, factors)),
                       "recompute_scale_factor": [None, False, True][trial % 3]}  # fmt: skip
        x = rng.normal(size=(2, 2, *rng.integers(4, 8, axes)))
        options |= {"mode": mode, "align_corners": align_corners}
        assert both(torch, npnet.Upsample(**options), torch.nn.Upsample(**options), x, rng)


@pytest.mark.parametrize("implementation", ["numpy", "auto"])
def test_an_infinite_pixel_and_its_gradient_stay_where_they_are(implementation):
    before = npnet.ops.active()
    npnet.ops.use(implementation)
    x = np.zeros((1, 1, 8, 8))
    x[0, 0, 3, 3] = np.inf
    y, tape = npnet.Upsample(5, mode="bilinear").record(x)
    assert np.isfinite(y).sum() >= 20
    upstream = np.zeros_like(y)
    upstream[0, 0, 0, 0] = np.inf
    dx = tape.backward(upstream, input_grad=True)
    assert np.isfinite(dx).sum() >= 60
    # An axis that keeps its size is left as it is.
    y = npnet.Upsample((8, 9), mode="bilinear")(x)
    assert np.isfinite(np.delete(y, 3, axis=2)).all()
    npnet.ops.use(before)


@pytest.mark.parametrize(
    ("mode", "axes", "factor"),
    [("linear", 1, 1.19), ("bilinear", 2, 1.19), ("nearest", 2, 1.19), ("nearest", 2, 2.1)],
)
def test_factors_whose_output_has_the_size_of_another(mode, axes, factor, rng):
    torch = pytest.importorskip("torch", reason="needs the oracle: pip install torch")
    options = {"scale_factor": factor, "mode": mode}
    x = rng.normal(size=(2, 3, *(4,) * axes))
    assert both(torch, npnet.Upsample(**options), torch.nn.Upsample(**options), x, rng)


def test_what_was_left_out_has_no_gradient_even_of_infinity():
    y, tape = npnet.Upsample(2).record(np.zeros((1, 1, 4)))
    dx = tape.backward(np.full_like(y, np.inf), input_grad=True)
    assert dx.tolist() == [[[np.inf, 0, np.inf, 0]]]


def test_one_element_becomes_many_and_many_one():
    y, tape = npnet.Upsample(1000, mode="linear").record(np.ones((1, 1, 1)))
    assert (y == 1).all()
    assert tape.backward(np.ones_like(y), input_grad=True).tolist() == [[[1000]]]
    assert npnet.Upsample(1)(np.arange(9.0).reshape(1, 1, 9)).tolist() == [[[0]]]


def test_pixels_by_their_definition(rng):
    x = rng.normal(size=(2, 2 * 9, 4, 5))
    y = npnet.PixelShuffle(3)(x)
    for c, i, j in itertools.product(range(2), range(3), range(3)):
        np.testing.assert_array_equal(y[:, c, i::3, j::3], x[:, c * 9 + i * 3 + j])
    np.testing.assert_array_equal(npnet.PixelUnshuffle(3)(y), x)


@pytest.mark.parametrize("layer", [
    npnet.ReflectionPad2d((1, -1, 0, 2)), npnet.ReplicationPad1d(2), npnet.ZeroPad3d(1),
    npnet.CircularPad2d((2, 0, 1, 1)), npnet.ConstantPad1d((1, -1), 2.0), npnet.Dropout1d(),
    npnet.Upsample((5, 2), mode="bicubic"), npnet.Upsample(scale_factor=1.5, mode="linear"),
    npnet.Dropout2d(0.2),
    npnet.PixelShuffle(2), npnet.PixelUnshuffle(2), npnet.ChannelShuffle(2),
], ids=repr)  # fmt: skip
def test_the_gradient_checker_passes(layer):
    shape = (4, 4) if "1d" in type(layer).__name__ or "linear" in repr(layer) else (4, 4, 4)
    check_layer(layer, np.random.default_rng(0).normal(size=(2, *shape[:-1], 4)))


@pytest.mark.parametrize(("make", "shape", "expected"), [
    (lambda: npnet.ZeroPad2d(1), (3,), r"\(\.\.\., height, width\)"),
    (lambda: npnet.ReflectionPad1d(3), (1, 2, 3), "at least 4 elements along axis 2"),
    (lambda: npnet.ReflectionPad2d(1), (3, 3), r"\(n, channels, height, width\) or \(channels"),
    (lambda: npnet.ReplicationPad1d(1), (2, 3, 0), "at least 1 elements"),
    (lambda: npnet.CircularPad1d(4), (1, 1, 3), "at least 4 elements"),
    (lambda: npnet.ZeroPad1d(-2), (1, 1, 3), "at least 4 elements"),
    (lambda: npnet.PixelShuffle(2), (1, 6, 2, 2), "multiple of 4 channels"),
    (lambda: npnet.PixelUnshuffle(2), (1, 1, 2, 3), "multiples of 2 as height and width"),
    (lambda: npnet.ChannelShuffle(2), (1, 3, 2), "multiple of 2 channels"),
    (lambda: npnet.Upsample(2), (3, 4), "width"),
    (lambda: npnet.Upsample(2, mode="bilinear"), (1, 1, 4), "height, width"),
    (lambda: npnet.Upsample((2, 2)), (1, 1, 4), "height, width"),
    (lambda: npnet.Upsample(scale_factor=0.2), (1, 1, 4), "at least one element"),
    (lambda: npnet.Upsample(2), (1, 1, 0), "elements along each axis"),
    (lambda: npnet.Dropout1d(), (2, 3, 4, 5), "Dropout takes any"),
    (lambda: npnet.Dropout3d(), (2, 3, 4), "depth"),
])  # fmt: skip
def test_inputs_that_do_not_fit(make, shape, expected):
    with pytest.raises(ShapeError, match=expected):
        make()(np.zeros(shape))


@pytest.mark.parametrize(("make", "expected"), [
    (lambda: npnet.ZeroPad2d((1, 2)), r"one for each of \(left, right, top, bottom\)"),
    (lambda: npnet.ReflectionPad1d(1.5), "padding to be an integer"),
    (lambda: npnet.ConstantPad1d((1, "a"), 0.0), "padding right"),
    (lambda: npnet.ConstantPad1d(1, "a"), "value"),
    (lambda: npnet.Upsample(), "one of the two"),
    (lambda: npnet.Upsample(2, 2.0), "one of the two"),
    (lambda: npnet.Upsample(2, mode="linar"), "did you mean 'linear'"),
    (lambda: npnet.Upsample((2, 2), mode="linear"), "size to be one number, or 1 of them for the"),
    (lambda: npnet.Upsample(2, mode="area"), "AdaptiveAvgPool"),
    (lambda: npnet.Upsample(0), "size to be a positive integer"),
    (lambda: npnet.Upsample(scale_factor=(1.0, -1.0)), r"scale_factor\[1\]"),
    (lambda: npnet.Upsample(2, recompute_scale_factor=True), "not for a size"),
    (lambda: npnet.PixelShuffle(0), "positive integer"),
])  # fmt: skip
def test_arguments_that_do_not_fit(make, expected):
    with pytest.raises(ArgumentError, match=expected):
        make()


def test_empty_batches_of_flattened_images():
    model = npnet.Sequential(npnet.ZeroPad2d(1), npnet.Flatten(), npnet.Linear(2 * 16, 3))
    y, tape = model.record(np.zeros((0, 2, 2, 2)))
    assert y.shape == (0, 3)
    assert tape.backward(y, input_grad=True).shape == (0, 2, 2, 2)
