"""Both forms of every kernel agree with each other and with formulas."""

import inspect
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
import pytest

import npnet
from npnet.ops import (
    accumulate,
    activation,
    columns,
    depthwise,
    elementwise,
    gelu,
    layer_norm,
    normalize,
    pool,
    pool_windows,
    recurrent,
    resample,
    rows,
    scatter,
    signs,
    softmax,
    update,
    winograd_tiles,
)
from npnet.ops.kernels import families

try:
    import numba  # noqa: F401

    HAS_NUMBA = True
except ImportError:
    HAS_NUMBA = False

needs_numba = pytest.mark.skipif(not HAS_NUMBA, reason="Numba (extra 'fast') is not installed")
IMPLEMENTATIONS = ["numpy", pytest.param("numba", marks=needs_numba)]


@pytest.fixture
def implementation(request):
    before = npnet.ops.active()
    npnet.ops.use(request.param)
    yield request.param
    npnet.ops.use(before)


class Draw:
    """Draws arrays of one dtype in one memory layout."""

    def __init__(self, dtype, layout):
        self.dtype, self.layout, self.rng = dtype, layout, np.random.default_rng(0)

    def array(self, values):
        a = np.asarray(values, self.dtype)
        if a.ndim == 0 or self.layout == "C":
            return a
        if self.layout == "F":
            return np.array(a, order="F")
        wide = np.zeros((*a.shape[:-1], 2 * a.shape[-1]), self.dtype)
        wide[..., ::2] = a
        return wide[..., ::2]

    def normal(self, shape, scale=1.0):
        return self.array(self.rng.normal(size=shape) * scale)

    def uniform(self, shape):
        return self.array(self.rng.uniform(0.1, 1, shape))

    def gates(self, shape, blocks, sign=1):
        return self.array(sign * self.rng.uniform(0.1, 1, (shape[0], blocks * shape[1])))

    def rectified(self, shape):
        return self.array(np.maximum(self.rng.normal(size=shape), 0))

    def integers(self, shape):
        """Small ones, with which the sums of a linear map are exact in any dtype."""
        return self.array(self.rng.integers(-3, 4, shape))

    def labels(self, shape):
        return self.rng.integers(0, shape[1], shape[0])

    def doubles(self, n):
        return np.full(n, np.nan)

    def empty(self, shape):
        return self.array(np.full(shape, np.nan))


class Case(NamedTuple):
    """A kernel, shapes, its arguments for a shape, and by how many roundings the forms differ."""

    module: Any
    name: str
    shapes: list
    arguments: Any  # callable(draw, shape)
    options: dict[str, Any] | None = None
    roundings: int = 0


ANY = [(), (1,), (0, 3), (4, 3), (2, 3, 5), (128, 256)]
MATRICES = [(0, 3), (1, 1), (4, 3), (300, 256)]
LOGITS = [(1, 1), (1, 7), (32, 2), (128, 10), (3, 1000)]
CHANNELS = [(1, 1, 1), (1, 4, 3), (5, 3, 1), (3, 2, 4100), (300, 256, 2)]
VECTORS = [(0,), (1,), (1000,), (update.BLOCK + 7,)]
SGD = {"lr": 0.1, "momentum": 0.9, "dampening": 0.0, "nesterov": False, "weight_decay": 0.0,
       "first": False}  # fmt: skip
ADAM = {"beta1": 0.9, "beta2": 0.999, "rate": 0.01, "gain": 0.0, "eps": 1e-8, "keep": 1.0,
        "weight_decay": 0.0}  # fmt: skip
RMSPROP = {"lr": 0.01, "keep": 0.9, "gain": 0.1, "eps": 1e-8, "momentum": 0.5, "weight_decay": 0.0}
MORE_SGD = [{}, {"dampening": 0.2, "first": True}, {"dampening": 0.2}, {"nesterov": True},
            {"weight_decay": 0.1}, {"weight_decay": 0.1, "nesterov": True}]  # fmt: skip
MORE_ADAM = [{}, {"weight_decay": 0.1}, {"keep": 0.9}, {"gain": 0.005, "weight_decay": 0.1}]
MORE_RMSPROP = [{}, {"weight_decay": 0.1}, {"keep": 1.0, "gain": 1.0}]


def pool_arguments(name, axes):
    """Return the arguments of a kernel of pooling, for any shape of inputs."""
    outs = tuple(each.count for each in axes)

    def arguments(d, s):
        x = d.normal(s)
        places = np.empty((s[0], *outs), np.uint8)
        pool.maxima(np.ascontiguousarray(x), np.empty(places.shape, x.dtype), places, axes)
        if name == "maxima":
            return x, d.empty(places.shape), np.zeros_like(places), axes
        if name == "maxima_grad":
            return d.normal(places.shape), places, d.empty(s), axes
        divisor = pool_windows.elements(axes, (1, 1, 1), np.dtype(d.dtype))
        if name == "means":
            return x, divisor, d.empty(places.shape), axes
        return d.normal(places.shape), divisor, d.empty(s), axes

    return arguments


POOLS = [
    ([(0, 1, 8, 6), (3, 1, 8, 6), (70, 1, 8, 6)],
     pool_windows.sliding((8, 6), (2, 2), (2, 2), (0, 0), (1, 1), False)),
    ([(3, 1, 7, 6)], pool_windows.sliding((7, 6), (2, 2), (2, 2), (0, 0), (1, 1), True)),
    *(([(3, 5, 7, 6)], pool_windows.sliding((5, 7, 6), (2, 3, 2), *more, True))
      for more in (((2, 2, 1), (1, 1, 0), (1, 1, 1)), ((1, 2, 3), (1, 0, 1), (2, 1, 3)))),
    ([(2, 1, 7, 6)], pool_windows.adaptive((7, 6), (3, 8))),
]  # fmt: skip
# Images, channels, height, width; padding; kernel size, stride, dilation, first row; positions.
WINDOWS = [
    ((2, 3, 5, 6), (0, 0), (3, 2), (1, 1), (1, 1), 0, (3, 5)),
    ((1, 2, 7, 4), (2, 3), (2, 3), (2, 3), (3, 2), 0, (4, 2)),
    ((3, 1, 5, 5), (1, 0), (3, 3), (2, 2), (1, 1), 1, (2, 2)),
    ((0, 2, 4, 4), (1, 1), (3, 3), (1, 1), (1, 1), 0, (4, 4)),
    ((1, 1, 3, 3), (4, 5), (1, 2), (1, 2), (1, 1), 0, (11, 6)),
]
# Images, channels, height, width; outputs of a channel; where windows lie; their positions.
DEPTHWISE = [
    ((n, 2, *axes[0]), m, depthwise.plan_of(*axes), axes[1])
    for n, m, axes in (
        (3, 1, ((5, 6), (5, 6), (3, 3), (1, 1), (1, 1), (1, 1))),
        (2, 2, ((7, 4), (3, 2), (2, 3), (2, 3), (0, 2), (1, 2))),
        (0, 1, ((4, 4), (4, 4), (3, 3), (1, 1), (1, 1), (1, 1))),
        (1, 3, ((9, 3), (2, 3), (2, 1), (4, 1), (0, 0), (3, 1))),
    )
]
# Images, channels, height, width; padding; rows and columns of tiles.
TILES = [
    ((2, 3, 6, 6), (0, 0), (1, 1)),
    ((1, 17, 7, 10), (1, 2), (2, 3)),
    ((3, 2, 4, 4), (1, 1), (1, 1)),
    ((0, 2, 6, 6), (0, 0), (1, 1)),
]

CASES = [
    *(Case(pool, name, shapes, pool_arguments(name, axes), None, 16)
      for shapes, axes in POOLS for name in ("maxima", "maxima_grad", "means", "means_grad")),
    Case(elementwise, "relu", ANY, lambda d, s: (d.normal(s), d.empty(s))),
    Case(elementwise, "relu_grad", ANY, lambda d, s: (d.normal(s), d.rectified(s), d.empty(s))),
    Case(elementwise, "relu_grad_in_place", MATRICES, lambda d, s: (d.normal(s), d.rectified(s))),
    Case(elementwise, "add_bias", MATRICES, lambda d, s: (d.normal(s), d.normal(s[1]))),
    Case(elementwise, "add_bias_relu", MATRICES, lambda d, s: (d.normal(s), d.normal(s[1]))),
    Case(elementwise, "dropout", ANY,
         lambda d, s: (d.normal(s), d.uniform(s), 0.25, 1 / 0.75, d.empty(s))),
    Case(activation, "leaky_relu", ANY, lambda d, s: (d.normal(s), 0.25, d.empty(s))),
    *(Case(activation, "leaky_relu_grad", ANY,
           lambda d, s, slope=slope: (d.normal(s), d.normal(s), slope, d.empty(s)))
      for slope in (0.1, 0.0, -2.0)),
    Case(activation, "clip_grad", ANY,
         lambda d, s: (d.normal(s), d.array(np.clip(d.normal(s), -0.5, 1)), -0.5, 1.0, d.empty(s))),
    Case(activation, "hardswish", ANY, lambda d, s: (d.normal(s, 3), d.empty(s))),
    Case(activation, "silu", ANY, lambda d, s: (d.normal(s, 2), d.empty(s)), None, 2),
    *(Case(activation, name, ANY, lambda d, s: (d.normal(s), d.normal(s, 2), d.empty(s)), None, 4)
      for name in ("hardswish_grad", "silu_grad")),
    *(Case(activation, name, ANY, lambda d, s: (d.normal(s), d.uniform(s), d.empty(s)))
      for name in ("sigmoid_grad", "tanh_grad")),
    Case(gelu, "gelu_single", ANY, lambda d, s: (d.normal(s, 0.7), d.empty(s)), None, 8),
    Case(gelu, "gelu_single_grad", ANY,
         lambda d, s: (d.normal(s), d.normal(s, 0.7), d.empty(s)), None, 8),
    *(Case(softmax, "cross_entropy", LOGITS,
           lambda d, s, scale=scale: (
               d.normal(s, scale), d.labels(s), d.empty(s[0]), d.empty(s), 0.125),
           roundings=16)
      for scale in (1.0, 50.0, 5e3)),
    *(Case(recurrent, "rnn_step", MATRICES,
           lambda d, s, relu=relu: (d.normal(s), d.normal(s), relu, d.empty(s)), None, 8)
      for relu in (False, True)),
    *(Case(recurrent, "rnn_step_grad", MATRICES,
           lambda d, s, relu=relu: (
               d.empty(s), d.rectified(s), relu, d.normal(s), d.normal(s)), None, 8)
      for relu in (False, True)),
    *(Case(recurrent, "lstm_step", MATRICES,  # of one sign, lest digits are cancelled
           lambda d, s, sign=sign: (
               *(d.gates(s, n, sign) for n in (4, 4, 1)), d.empty(s), d.empty(s)), None, 8)
      for sign in (1, -3)),
    Case(recurrent, "lstm_step_grad", MATRICES,
         lambda d, s: (d.gates(s, 4), *(d.normal(s, 0.3) for _ in range(5))), None, 64),
    *(Case(recurrent, "gru_step", MATRICES,
           lambda d, s, sign=sign: (
               *(d.gates(s, n, sign) for n in (4, 3, 1)), d.empty(s)), None, 8)
      for sign in (1, -3)),
    Case(recurrent, "gru_step_grad", MATRICES,
         lambda d, s: (d.gates(s, 4), *(d.normal(s, 0.3) for _ in range(3))), None, 64),
    Case(columns, "copy_windows", WINDOWS,
         lambda d, s: (d.normal(s[0]), s[5], s[3], s[1], s[4],
                       d.empty((s[0][1], *s[2], s[0][0], *s[6])))),
    Case(columns, "add_windows", WINDOWS,
         lambda d, s: (d.integers((s[0][1], *s[2], s[0][0], *s[6])), s[5], s[3], s[1], s[4],
                       d.integers(s[0]))),
    Case(depthwise, "correlate", DEPTHWISE,
         lambda d, s: (d.integers(s[0]), d.integers((s[0][1], s[1], s[2].taps.size)),
                       d.integers((s[0][1], s[1])), *s[2],
                       d.empty((s[0][0], s[0][1] * s[1], *s[3])))),
    Case(depthwise, "correlate_weight_grad", DEPTHWISE,
         lambda d, s: (d.integers(s[0]), d.integers((s[0][0], s[0][1] * s[1], *s[3])), *s[2],
                       np.full((s[0][1], s[1], s[2].taps.size), np.nan))),
    Case(depthwise, "correlate_input_grad", DEPTHWISE,
         lambda d, s: (d.integers((s[0][0], s[0][1] * s[1], *s[3])),
                       d.integers((s[0][1], s[1], s[2].taps.size)), *s[2], d.empty(s[0]))),
    Case(rows, "copy_rows", WINDOWS,
         lambda d, s: (d.normal(s[0]), s[5], s[3], s[1], s[4],
                       d.empty((s[0][0], *s[6], *s[2], s[0][1])))),
    Case(rows, "add_rows", WINDOWS,
         lambda d, s: (d.integers((s[0][0], *s[6], *s[2], s[0][1])), s[5], s[3], s[1], s[4],
                       d.integers(s[0]))),
    *(Case(winograd_tiles, "input_tiles", TILES,
           lambda d, s, step=step: (
               d.integers((*s[0][:2], *(n * step // 4 for n in s[0][2:]))), s[1], step,
               d.empty((36, s[0][0], *s[2], s[0][1]))))
      for step in (4, 2)),
    *(Case(winograd_tiles, "input_tiles_grad", TILES,
           lambda d, s, step=step: (
               d.integers((36, s[0][0], *s[2], s[0][1])), s[1], step,
               d.empty((*s[0][:2], *(n * step // 4 for n in s[0][2:])))))
      for step in (4, 2)),
    *(Case(winograd_tiles, "from_output_tiles", TILES,
           lambda d, s, step=step: (
               d.integers((36, s[0][0], *s[2], s[0][1])), step,
               d.empty((*s[0][:2], s[2][0] * step - 1, s[2][1] * step))))
      for step in (4, 2)),
    *(Case(winograd_tiles, "from_output_tiles_grad", TILES,
           lambda d, s, step=step: (
               d.integers((*s[0][:2], s[2][0] * step - 1, s[2][1] * step)), step,
               d.empty((36, s[0][0], *s[2], s[0][1]))))
      for step in (4, 2)),
    Case(scatter, "add_at", MATRICES,
         lambda d, s: (d.uniform((7, s[1])), d.labels((s[0], 7)), d.uniform(s)), roundings=64),
    Case(normalize, "moments", CHANNELS,
         lambda d, s: (d.uniform(s), d.normal(s[1], 0.01), d.doubles(s[1]), d.doubles(s[1])),
         None, 64),
    Case(normalize, "scale_channels", CHANNELS,
         lambda d, s: (d.uniform(s), d.normal(s[1], 0.01), d.uniform(s[1]), d.uniform(s[1]),
                       d.empty(s)), None, 8),
    Case(normalize, "channel_sums", CHANNELS,
         lambda d, s: (d.uniform(s), d.uniform(s), d.normal(s[1], 0.01), d.doubles(s[1]),
                       d.doubles(s[1])), None, 64),
    Case(normalize, "combine_channels", CHANNELS,
         lambda d, s: (d.uniform(s), d.uniform(s), d.normal(s[1], 0.01),
                       *(d.uniform(s[1]) for _ in range(3)), d.empty(s)), None, 16),
    # Small weights and factors, where differences are left of larger numbers.
    *(Case(layer_norm, "layer_norm", MATRICES,
           lambda d, s, centered=centered: (
               d.normal(s), d.normal(s[1], 0.01), d.normal(s[1], 0.01), 0.1, centered,
               *(d.empty(s[0]) for _ in range(3)), d.empty(s)),
           None, 64)
      for centered in (True, False)),
    *(Case(layer_norm, "layer_norm_grad", MATRICES,
           lambda d, s, centered=centered: (
               d.uniform(s), d.uniform(s), d.normal(s[1]), centered, d.normal(s[0], 0.01),
               d.normal(s[0], 1e-3), d.uniform(s[0]) * d.dtype(0.01), d.doubles(s[1]),
               d.doubles(s[1]), d.empty(s)),
           None, 64)
      for centered in (True, False)),
    *(Case(resample, "gather", [(2, 4, 1), (0, 3, 2), (3, 5, 4), (1, 1, 1)],
           lambda d, s, taps=taps: (
               d.normal(s), d.rng.integers(0, s[1], (7, taps)), d.normal((7, taps)),
               d.empty((s[0], 7, s[2]))),
           roundings=8)
      for taps in (1, 3)),
    Case(update, "sgd", VECTORS, lambda d, s: (d.normal(s), d.normal(s), None), SGD, 8),
    *(Case(update, "sgd", VECTORS,
           lambda d, s: (d.normal(s), d.normal(s), d.normal(s)), SGD | more, 8)
      for more in MORE_SGD),
    *(Case(update, "adam", VECTORS,
           lambda d, s, peak=peak: (
               d.normal(s), d.normal(s), d.uniform(s), d.uniform(s), peak and d.uniform(s)),
           ADAM | more, 8)
      for more in MORE_ADAM for peak in (None, True)),
    *(Case(accumulate, "rmsprop", VECTORS,
           # Means that leave s - m^2 well above 0; small velocities, lest digits are cancelled.
           lambda d, s, mean=mean, velocity=velocity: (
               d.normal(s), d.normal(s), d.uniform(s) + 1, mean and d.normal(s, 0.01),
               velocity and d.normal(s, 1e-3)),
           RMSPROP | more, 16)
      for more in MORE_RMSPROP for mean in (None, True) for velocity in (None, True)),
    *(Case(accumulate, "adadelta", VECTORS,
           lambda d, s: (d.normal(s), d.normal(s), d.uniform(s), d.uniform(s)),
           {"lr": 0.01, "rho": 0.9, "eps": 1e-6, "weight_decay": decay}, 16)
      for decay in (0.0, 0.1)),
    *(Case(accumulate, "adamax", VECTORS,
           lambda d, s: (d.normal(s), d.normal(s), d.normal(s), d.uniform(s)),
           {"beta1": 0.9, "beta2": 0.999, "rate": 0.01, "eps": 1e-8, "weight_decay": decay}, 16)
      for decay in (0.0, 0.1)),
    *(Case(signs, "lion", VECTORS, lambda d, s: (d.normal(s), d.normal(s), d.normal(s)),
           {"lr": 0.1, "beta1": 0.9, "beta2": 0.99, "keep": keep}, 8)
      for keep in (1.0, 0.9)),
    Case(signs, "rprop", VECTORS,
         lambda d, s: (d.normal(s), d.normal(s), d.rectified(s), d.uniform(s)),
         {"minus": 0.5, "plus": 1.2, "least": 0.2, "most": 0.8}, 8),
    *(Case(signs, "asgd", VECTORS, lambda d, s: (d.normal(s), d.normal(s), d.normal(s)),
           {"lr": 0.1, "share": share, "keep": 1 - decay, "weight_decay": decay}, 8)
      for share in (1.0, 0.25) for decay in (0.0, 0.1)),
]  # fmt: skip


def refuse(*args, **kwargs):
    raise AssertionError("the compiled loop was not taken")


@needs_numba
@pytest.mark.parametrize("implementation", ["numba"], indirect=True)
@pytest.mark.parametrize("layout", ["C", "F", "strided"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_both_forms_agree(case, dtype, layout, implementation, monkeypatch):
    family = families[case.module.__name__]
    family.compile(np.dtype(np.float32))
    family.compile(np.dtype(dtype))
    if layout == "C" and dtype != np.float16:
        monkeypatch.setitem(family.compiled[case.name].__globals__, "fallback", refuse)
    rtol = case.roundings * np.finfo(dtype).eps
    atol = {np.float32: 1e-7, np.float64: 1e-15}.get(dtype, 0) if rtol else 0
    for shape in case.shapes:
        outcomes = []
        for form in (family.numpy[case.name], family.compiled[case.name]):
            args = case.arguments(Draw(dtype, layout), shape)
            result = form(*args, **(case.options or {}))
            results = result if isinstance(result, tuple) else (result,)
            compared = (a for a in (*args, *results) if not isinstance(a, tuple))
            outcomes.append([a for a in compared if a is not None])
        for one, two in zip(*outcomes, strict=True):
            np.testing.assert_allclose(one, two, rtol=rtol, atol=atol)


@needs_numba
def test_every_kernel_is_compiled_with_its_arguments_and_stands_in_the_table():
    kernels = {(module, name) for module, family in families.items() for name in family.numpy}
    assert {(case.module.__name__, case.name) for case in CASES} == kernels
    for module, name in kernels:
        loop = getattr(import_module(module + "_compiled"), name)
        parameters = inspect.signature(families[module].numpy[name]).parameters
        assert [*inspect.signature(getattr(loop, "py_func", loop)).parameters] == [*parameters]


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS, indirect=True)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_special_values(implementation, dtype):
    x = np.array([np.nan, -np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-38, -1e-38, 1, -1], dtype)
    expected = np.array([np.nan, np.nan, np.inf, 0, 0, 0, 1e-38, 0, 1, 0], dtype)
    for shape in (-1, (2, 5)):
        y = elementwise.relu(x.reshape(shape), np.empty_like(x).reshape(shape))
        np.testing.assert_array_equal(y.ravel(), expected)
    biased = x.reshape(2, 5).copy()
    elementwise.add_bias_relu(biased, np.zeros(5, dtype))
    np.testing.assert_array_equal(biased.ravel(), expected)
    assert npnet.ops.active() == implementation


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS, indirect=True)
@pytest.mark.parametrize("upstream", [2.0, np.inf, np.nan])
@pytest.mark.parametrize("columns", [3, elementwise.FEW])
@pytest.mark.parametrize(
    ("dtype", "grad_dtype"),
    [(np.float32, np.float32), (np.float64, np.float64), (np.float16, np.float16),
     (np.float32, np.float64)],
)  # fmt: skip
def test_the_gradient_passes_where_the_output_is_nan(
    implementation, dtype, grad_dtype, columns, upstream
):
    y = np.zeros((4, columns), dtype)
    y[1], y[2], y[3] = 1, np.inf, np.nan
    grad = np.full(y.shape, upstream, grad_dtype)
    expected = np.repeat([0, upstream, upstream, upstream], columns).reshape(y.shape)
    np.testing.assert_array_equal(elementwise.relu_grad(grad, y, np.empty_like(grad)), expected)
    elementwise.relu_grad_in_place(grad, y)
    np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS, indirect=True)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(4, 3), (300, 256)])
def test_relu_grad_may_overwrite_its_arguments(implementation, shape, dtype, rng):
    grad, y = rng.normal(size=(2, *shape)).astype(dtype)
    y = np.maximum(y, 0)
    expected = np.where(y > 0, grad, 0)
    over = y.copy()
    assert elementwise.relu_grad_in_place(grad, over) is None
    np.testing.assert_array_equal(over, expected)
    over = y.copy()
    assert elementwise.relu_grad(grad, over, over) is over
    np.testing.assert_array_equal(over, expected)
    assert elementwise.relu_grad(grad, y, grad) is grad
    np.testing.assert_array_equal(grad, expected)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS, indirect=True)
@pytest.mark.parametrize("bad", [-1, 3, -(2**40), 2**40])
def test_labels_out_of_range_are_refused(implementation, bad):
    x, labels = np.zeros((2, 3)), np.array([0, bad])
    assert softmax.cross_entropy(x, labels, np.zeros(2), np.zeros((2, 3)), 1.0) == (False, 0.0)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS, indirect=True)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_relu_against_the_formula(implementation, dtype, rng):
    x = rng.normal(size=(5, 4)).astype(dtype)
    y, tape = npnet.ReLU().record(x)
    assert (y == np.where(x > 0, x, 0)).all()
    assert (tape.backward(x, input_grad=True) == np.where(x > 0, x, 0)).all()
    assert npnet.ops.active() == implementation


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS, indirect=True)
def test_arrays_that_do_not_fit_are_never_read_beyond_their_end(implementation, rng):
    y = rng.normal(size=(4, 6)).astype(np.float32)
    before = y.copy()
    for kernel in (elementwise.add_bias, elementwise.add_bias_relu):
        with pytest.raises(ValueError, match="broadcast"):
            kernel(y, np.ones(2, np.float32))
    np.testing.assert_array_equal(y, before)
    elementwise.add_bias(y, np.ones(1, np.float32))
    np.testing.assert_array_equal(y, before + 1)
    for shape in ((4, 6), (4, 3, 2)):
        kept = np.ones(shape, np.float32)
        short, turned = (np.ones(s, np.float32) for s in ((2, *shape[1:]), shape[::-1]))
        for other in (short, turned):
            with pytest.raises(ValueError, match="broadcast"):
                elementwise.relu_grad(other, kept, np.empty_like(kept))
            with pytest.raises(ValueError, match="broadcast"):
                elementwise.relu(other, np.empty_like(kept))
        with pytest.raises(ValueError, match="broadcast"):
            elementwise.relu_grad_in_place(short, kept)
    vector, short = np.ones(9, np.float32), np.ones(5, np.float32)
    with pytest.raises(ValueError, match="broadcast"):
        update.sgd(vector, short, None, **SGD)
    with pytest.raises(ValueError, match="broadcast"):
        update.sgd(vector, vector, short, **SGD)
    with pytest.raises(ValueError, match="broadcast"):
        update.adam(vector, vector, vector.copy(), short, None, **ADAM)
    with pytest.raises(ValueError, match="broadcast"):
        update.adam(vector, vector, vector.copy(), vector.copy(), short, **ADAM)


@needs_numba
def test_training_ends_in_the_same_place():
    ends = []
    before = npnet.ops.active()
    for name in ("numpy", "numba"):
        npnet.ops.use(name)
        npnet.manual_seed(0)
        x, y = npnet.datasets.digits()
        model = npnet.Sequential(
            npnet.Flatten(), npnet.Linear(64, 32), npnet.ReLU(), npnet.Dropout(0.1),
            npnet.Linear(32, 10),
        )  # fmt: skip
        loss, optimizer = npnet.CrossEntropyLoss(), npnet.optim.Adam(model.parameters())
        steps = 0
        while steps < 200:
            for xb, yb in npnet.data.DataLoader((x, y), 64, shuffle=True):
                logits, tape = model.record(xb)
                value, grad = loss.value_and_grad(logits, yb)
                tape.backward(grad)
                optimizer.step()
                optimizer.zero_grad()
                steps += 1
        ends.append((value, model.state_dict()))
    npnet.ops.use(before)
    (value, state), (other_value, other_state) = ends
    assert other_value == pytest.approx(value, rel=1e-4)
    for name, array in state.items():
        norm = np.linalg.norm(array)
        assert np.linalg.norm(other_state[name] - array) <= 1e-4 * norm


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS, indirect=True)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_signs_of_special_values(implementation, dtype):
    g = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-40, -1e-40, 2, -2], dtype)
    expected = np.sign(g)
    np.testing.assert_array_equal(signs.sign(g, np.empty_like(g)), np.nan_to_num(expected))
    x, m = np.zeros_like(g), np.zeros_like(g)
    signs.lion(x, g, m, lr=1.0, beta1=0.0, beta2=0.0, keep=1.0)
    np.testing.assert_array_equal(x, -expected)
    np.testing.assert_array_equal(m, g)
    x, before, size = np.zeros_like(g), np.ones_like(g), np.ones_like(g)
    signs.rprop(x, g, before, size, minus=0.5, plus=2.0, least=0.0, most=9.0)
    np.testing.assert_array_equal(x, [0, -2, 0, 0, 0, -2, 0, -2, 0])
    np.testing.assert_array_equal(before, np.where(g < 0, 0, g))
    np.testing.assert_array_equal(size, [1, 2, 0.5, 1, 1, 2, 0.5, 2, 0.5])
    assert npnet.ops.active() == implementation
