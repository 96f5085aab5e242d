"""Winograd's convolution: its transforms, its rounding errors, and when it is taken."""

import numpy as np
import pytest

import npnet
from npnet.ops import conv, winograd, winograd_tiles

try:
    import numba  # noqa: F401

    FORMS = ["numpy", "numba"]
except ImportError:
    FORMS = ["numpy"]


@pytest.fixture(params=FORMS)
def form(request):
    before = npnet.ops.active()
    npnet.ops.use(request.param)
    yield request.param
    npnet.ops.use(before)


def problem(rng, n, c, k, size, padding, r=3):
    """Return the geometry, and images, weight, bias and the output's gradient in float32."""
    widths = tuple((p, p) for p in padding)
    g = conv.geometry(size, (r, r), (1, 1), widths, (1, 1), 1)
    shapes = (n, c, *size), (k, c, r, r), (k,), (n, k, *g.out)
    return g, [rng.normal(size=shape).astype(np.float32) for shape in shapes]


def three_maps(g, x, w, b, grad, exact=False):
    y = conv.convolve(x, w, b, g, exact)
    return y, conv.weight_grad(x, grad, g, exact), conv.input_grad(grad, w, g, exact)


def error(found, expected):
    return np.abs(found - expected).max() / np.abs(expected).max()


@pytest.mark.parametrize(
    ("n", "c", "k", "size", "padding", "r"),
    [(3, 16, 32, (8, 8), (1, 1), 3), (5, 17, 16, (7, 13), (0, 2), 3),
     (1, 16, 16, (6, 5), (3, 0), 3), (40, 32, 64, (26, 26), (0, 0), 3),
     (2, 16, 16, (40, 50), (1, 1), 3), (2, 64, 18, (4, 4), (1, 1), 3),
     (3, 16, 32, (8, 8), (2, 2), 5), (5, 17, 16, (7, 13), (0, 4), 5),
     (40, 16, 32, (14, 14), (2, 2), 5), (1, 16, 18, (41, 30), (5, 0), 5)],
)  # fmt: skip
def test_it_computes_the_convolution_and_its_gradients(form, rng, n, c, k, size, padding, r):
    g, arrays = problem(rng, n, c, k, size, padding, r)
    assert winograd.pays(g, (k, c, r, r))
    expected = three_maps(g, *(a.astype(float) for a in arrays))
    for found, right in zip(three_maps(g, *arrays), expected, strict=True):
        assert found.dtype == np.float32
        assert error(found, right) < 2e-5
    x, w, _, grad = arrays
    for both, right in zip(conv.both_grads(x, grad, w, g), expected[1:], strict=True):
        assert error(both, right) < 2e-5


@pytest.mark.parametrize(("r", "told"), [(3, 1e-5), (5, 2e-5)])
def test_the_error_is_as_the_documentation_of_conv2d_tells(form, rng, r, told):
    g, arrays = problem(rng, 32, 32, 64, (26, 26), (0, 0), r)
    expected = three_maps(g, *(a.astype(float) for a in arrays))
    fast = [error(*pair) for pair in zip(three_maps(g, *arrays), expected, strict=True)]
    exact = [error(*pair) for pair in zip(three_maps(g, *arrays, True), expected, strict=True)]
    assert max(fast) < told
    assert max(exact[0], exact[2]) < 1.5e-6
    assert fast[0] > 2 * exact[0]  # or the option would do nothing


def test_float64_and_exact_layers_never_take_it(rng, monkeypatch):
    def refuse(*args):
        raise AssertionError

    monkeypatch.setattr(winograd, "weight_tiles", refuse)
    x = rng.normal(size=(2, 16, 8, 8))
    npnet.Conv2d(16, 16, 3, dtype=np.float64)(x)
    npnet.Conv2d(16, 16, 3, exact=True)(x.astype(np.float32))
    with pytest.raises(AssertionError):
        npnet.Conv2d(16, 16, 3)(x.astype(np.float32))


@pytest.mark.parametrize(
    ("changes", "channels"),
    [({"kernel_size": (3, 1), "out": (6, 8)}, 16), ({"stride": (1, 2), "out": (6, 3)}, 16),
     ({"dilation": (2, 1), "out": (4, 6)}, 16), ({"groups": 2}, 16), ({}, 4),
     ({"padding": (-1, 0), "out": (5, 6)}, 16), ({"out": (5, 6)}, 16), ({"out": (1, 1)}, 16)],
)  # fmt: skip
def test_what_it_cannot_compute_or_is_slow_at_it_leaves_alone(changes, channels):
    g = conv.geometry((8, 8), (3, 3), (1, 1), ((0, 0), (0, 0)), (1, 1), 1)._replace(**changes)
    assert not winograd.pays(g, (channels, channels, *g.kernel_size))


@pytest.mark.parametrize(("step", "size"), [(4, (7, 10)), (2, (3, 6))])
def test_gradients_are_the_transposed_transforms(form, rng, step, size):
    x, v = rng.normal(size=(2, 3, *size)), rng.normal(size=(36, 2, 2, 3, 3))
    tiles = winograd_tiles.input_tiles(x, (1, 2), step, np.empty_like(v))
    back = winograd_tiles.input_tiles_grad(v, (1, 2), step, np.empty_like(x))
    np.testing.assert_allclose((tiles * v).sum(), (back * x).sum(), rtol=1e-10)
    y = rng.normal(size=(2, 3, *size))
    out = winograd_tiles.from_output_tiles(v, step, np.empty_like(y))
    back = winograd_tiles.from_output_tiles_grad(y, step, np.empty_like(v))
    np.testing.assert_allclose((out * y).sum(), (back * v).sum(), rtol=1e-10)


def test_a_recorded_pass_gives_what_exact_layers_give(form, rng):
    fast, exact = (npnet.Conv2d(16, 16, 3, padding=1, exact=e, rng=0) for e in (False, True))
    x, grad = rng.normal(size=(2, 4, 32, 9, 9)).astype(np.float32)[:, :, :16], None
    results = []
    for layer in (fast, exact):
        y, tape = layer.record(x[0])
        grad = np.cos(y) if grad is None else grad
        results.append(
            [y, tape.backward(grad, input_grad=True), layer.weight.grad, layer.bias.grad]
        )
    for one, two in zip(*results, strict=True):
        assert error(one, two) < 1e-5


def test_the_gradient_checker_finds_nothing_in_float32(form):
    npnet.gradcheck.check_layer(npnet.Conv2d(16, 16, 3, padding=1, rng=0), (2, 16, 6, 6))
