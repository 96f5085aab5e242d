"""Initial values: formulas, moments and bounds of the distributions, agreement with PyTorch."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import npnet
from npnet import init
from npnet.errors import ArgumentError, DtypeError, ShapeError
from npnet.random import manual_seed

SHAPES = [(60, 90), (90, 60), (1, 4000), (20, 10, 5, 5)]
RANDOM = [
    init.uniform,
    init.normal,
    init.xavier_uniform,
    init.xavier_normal,
    init.kaiming_uniform,
    init.kaiming_normal,
    init.trunc_normal,
    init.orthogonal,
]
WITH_FANS = RANDOM[2:6]
ALL = [*RANDOM, init.zeros, init.ones, lambda shape, **kw: init.constant(shape, 0.3, **kw)]
NONLINEARITIES = [
    *["linear", "conv1d", "conv2d", "conv3d"],
    *["conv_transpose1d", "conv_transpose2d", "conv_transpose3d"],
    *["sigmoid", "tanh", "relu", "leaky_relu", "selu"],
]


def assert_uniform(x, low, high):
    """Bounds, mean and variance of U(low, high), each within six standard errors."""
    n, width = x.size, high - low
    x = x.astype(np.float64).ravel()
    slack = 1e-6 * max(abs(low), abs(high))  # rounding to float32
    assert low - slack <= x.min() < low + width * 20 / n
    assert high - width * 20 / n < x.max() <= high + slack
    assert abs(x.mean() - (low + high) / 2) < 6 * width / math.sqrt(12 * n)
    assert abs(x.var() / (width**2 / 12) - 1) < 6 * math.sqrt(0.8 / n)
    assert_even((x - low) / width)


def assert_normal(x, mean, std):
    """Mean, variance and shape of N(mean, std^2), each within six standard errors."""
    z = (x.astype(np.float64).ravel() - mean) / std
    assert abs(z.mean()) < 6 / math.sqrt(z.size)
    assert abs(z.var() - 1) < 6 * math.sqrt(2 / z.size)
    assert_even(0.5 * (1 + np.vectorize(math.erf)(z / math.sqrt(2))))


def assert_even(u):
    """The probability integral transform fills ten cells evenly, and neighbours are unrelated."""
    counts, _ = np.histogram(np.clip(u, 0, 1), bins=10, range=(0, 1))
    assert ((counts - u.size / 10) ** 2 / (u.size / 10)).sum() < 40  # chi-square, 9 degrees
    assert abs(np.corrcoef(u[:-1], u[1:])[0, 1]) < 6 / math.sqrt(u.size)


@pytest.mark.parametrize(("a", "b"), [(0.0, 1.0), (-2.0, 3.0), (5.0, 5.5), (-1e-6, 1e-6)])
def test_uniform(a, b):
    assert_uniform(init.uniform((80, 100), a, b, rng=1), a, b)


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (-3.0, 0.5), (100.0, 7.0), (0.0, 1e-6)])
def test_normal(mean, std):
    assert_normal(init.normal((80, 100), mean, std, rng=1), mean, std)


def test_the_defaults_of_uniform_and_normal():
    assert_uniform(init.uniform(8000, rng=2), 0.0, 1.0)
    assert_normal(init.normal(8000, rng=2), 0.0, 1.0)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("gain", [1.0, 5 / 3])
def test_xavier(shape, gain):
    fan_sum = (shape[0] + shape[1]) * math.prod(shape[2:])
    bound = gain * math.sqrt(6 / fan_sum)
    assert_uniform(init.xavier_uniform(shape, gain, rng=3), -bound, bound)
    assert_normal(init.xavier_normal(shape, gain, rng=3), 0.0, gain * math.sqrt(2 / fan_sum))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("mode", ["fan_in", "fan_out"])
@pytest.mark.parametrize("nonlinearity", ["leaky_relu", "relu", "tanh", "linear"])
def test_kaiming(shape, mode, nonlinearity):
    fan = shape[1 if mode == "fan_in" else 0] * math.prod(shape[2:])
    gain = {
        "leaky_relu": math.sqrt(2 / (1 + 0.3**2)),
        "relu": math.sqrt(2),
        "tanh": 5 / 3,
        "linear": 1.0,
    }[nonlinearity]
    bound = gain * math.sqrt(3 / fan)
    assert_uniform(init.kaiming_uniform(shape, 0.3, mode, nonlinearity, rng=4), -bound, bound)
    x = init.kaiming_normal(shape, 0.3, mode, nonlinearity, rng=4)
    assert_normal(x, 0.0, gain / math.sqrt(fan))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("uniform", (-0.5, 2.0)),
        ("normal", (1.0, 0.2)),
        ("xavier_uniform", (1.7,)),
        ("xavier_normal", (1.7,)),
        ("kaiming_uniform", (0.2, "fan_out")),
        ("kaiming_normal", (0.2, "fan_in", "relu")),
    ],
)
def test_moments_and_argument_order_are_those_of_torch(shape, name, arguments):
    torch = pytest.importorskip("torch")
    generator = torch.Generator().manual_seed(0)
    tensor = torch.empty(shape, dtype=torch.float64)
    getattr(torch.nn.init, name + "_")(tensor, *arguments, generator=generator)
    expected = tensor.numpy()
    x = getattr(init, name)(shape, *arguments, rng=0, dtype=np.float64)
    error = 8 / math.sqrt(x.size)
    assert abs(x.mean() - expected.mean()) < error * expected.std()
    assert abs(x.std() / expected.std() - 1) < error
    assert abs(np.abs(x).max() / np.abs(expected).max() - 1) < 0.5


def test_kaiming_uniform_of_sqrt_5_is_the_default_of_linear():
    x = init.kaiming_uniform((90, 100), a=math.sqrt(5), rng=5)
    assert_uniform(x, -0.1, 0.1)


@pytest.mark.parametrize("nonlinearity", NONLINEARITIES)
@pytest.mark.parametrize("param", [None, 0, 0.0, 0.25, -2.0, math.sqrt(5)])
def test_gains_are_those_of_torch(nonlinearity, param):
    torch = pytest.importorskip("torch")
    expected = torch.nn.init.calculate_gain(nonlinearity, param)
    assert init.calculate_gain(nonlinearity, param) == pytest.approx(expected, rel=1e-15)


def test_the_published_gains():
    gains = {name: init.calculate_gain(name) for name in NONLINEARITIES}
    assert gains["linear"] == gains["conv2d"] == gains["sigmoid"] == 1.0
    assert gains["tanh"] == 5 / 3
    assert gains["relu"] == math.sqrt(2)
    assert gains["leaky_relu"] == pytest.approx(math.sqrt(2 / 1.0001))
    assert gains["selu"] == 0.75
    assert init.calculate_gain("leaky_relu", 1e300) == 0.0


@given(st.lists(st.integers(1, 6), min_size=2, max_size=5))
def test_fans_are_those_of_torch(shape):
    torch = pytest.importorskip("torch")
    expected = torch.nn.init._calculate_fan_in_and_fan_out(torch.empty(shape))
    assert init.fan_in_and_fan_out(shape) == expected


def test_fans_count_connections():
    assert init.fan_in_and_fan_out((10, 784)) == (784, 10)
    assert init.fan_in_and_fan_out([32, 16, 3, 5]) == (16 * 15, 32 * 15)
    assert init.fan_in_and_fan_out(np.array([4, 0, 3])) == (0, 12)
    assert all(type(fan) is int for fan in init.fan_in_and_fan_out(np.array([4, 2])))


def test_constants():
    np.testing.assert_array_equal(init.zeros((2, 3)), np.zeros((2, 3)))
    np.testing.assert_array_equal(init.ones(4), np.ones(4))
    np.testing.assert_array_equal(init.constant((), -2.5), np.float32(-2.5))
    assert init.constant((2,), np.int64(3), dtype=np.float64)[1] == 3.0


@pytest.mark.parametrize("draw", ALL)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, "float32", float, ">f8"])
def test_the_result_is_a_new_contiguous_array_of_the_dtype(draw, dtype):
    x = draw((3, 4), dtype=dtype)
    assert isinstance(x, np.ndarray)
    assert x.dtype == np.dtype(dtype).newbyteorder("=")
    assert x.dtype.isnative
    assert x.shape == (3, 4)
    assert x.flags.c_contiguous
    assert x.flags.owndata
    assert x.flags.writeable


@pytest.mark.parametrize("draw", ALL)
def test_float32_is_the_default(draw):
    assert draw((3, 4)).dtype == np.float32


@pytest.mark.parametrize("draw", RANDOM)
def test_a_seed_gives_the_same_numbers_in_every_precision(draw):
    x = draw((30, 40), rng=7, dtype=np.float64)
    np.testing.assert_array_equal(draw((30, 40), rng=7), x.astype(np.float32))
    np.testing.assert_array_equal(draw((30, 40), rng=7, dtype=np.float16), x.astype(np.float16))
    assert np.count_nonzero(x != x.astype(np.float32)) > x.size / 2  # float64 to the last digit
    assert np.count_nonzero(x != draw((30, 40), rng=8, dtype=np.float64)) == x.size


@pytest.mark.parametrize("draw", RANDOM)
def test_a_generator_is_advanced_and_a_seed_is_not(draw):
    generator = np.random.default_rng(7)
    first, second = draw((3, 4), rng=generator), draw((3, 4), rng=generator)
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, draw((3, 4), rng=7))
    np.testing.assert_array_equal(first, draw((3, 4), rng=np.random.default_rng(7)))


@pytest.mark.parametrize("draw", RANDOM)
def test_manual_seed_rules_what_is_given_no_generator(draw):
    manual_seed(11)
    first, second = draw((3, 4)), draw((3, 4))
    manual_seed(11)
    np.testing.assert_array_equal(draw((3, 4)), first)
    np.testing.assert_array_equal(draw((3, 4)), second)
    assert not np.array_equal(first, second)


def test_the_global_state_of_numpy_is_left_alone():
    before = np.random.get_state(legacy=False)["state"]
    for draw in ALL:
        draw((3, 4))
    after = np.random.get_state(legacy=False)["state"]
    np.testing.assert_array_equal(before["key"], after["key"])
    assert before["pos"] == after["pos"]


# The bounds of (mean, std, a, b) lie about the mean, beside it, and far out in a tail.
CUTS = [
    (0.0, 1.0, -2.0, 2.0), (0.5, 0.02, 0.48, 0.6), (0.0, 1.0, -0.1, 0.2), (3.0, 2.0, -1e6, 1e6),
    (0.0, 1.0, 1.5, 4.0), (0.0, 1.0, 8.0, 1e9), (0.0, 1.0, -1e300, -20.0), (1.0, 1e-3, 2.0, 3.0),
    (0.0, 5.0, -1.0, 30.0),
]  # fmt: skip


@pytest.mark.parametrize(("mean", "std", "a", "b"), CUTS)
def test_trunc_normal_has_the_truncated_distribution(mean, std, a, b):
    stats = pytest.importorskip("scipy.stats")
    x = init.trunc_normal((100, 200), mean, std, a, b, rng=3, dtype=np.float64)
    assert a <= x.min() <= x.max() <= b
    u = stats.truncnorm((a - mean) / std, (b - mean) / std, mean, std).cdf(x.ravel())
    assert_even(u)
    assert stats.kstest(u, "uniform").pvalue > 1e-4


def test_trunc_normal_keeps_its_bounds_in_every_precision():
    for a, b in (0.1, 0.7001), (-0.1, 0.3), (0.7, 0.9), (0.2001, 0.5):
        for dtype in np.float16, np.float32, np.float64:
            x = init.trunc_normal(20_000, 0.0, 1.0, a, b, rng=0, dtype=dtype)
            assert a <= float(x.min()) <= float(x.max()) <= b


def test_extreme_truncations_end():
    def draw(**arguments):
        return init.trunc_normal(50, **arguments, rng=0, dtype=np.float64)

    assert (draw(a=0.5, b=0.5) == 0.5).all()
    assert (draw(std=1e-300, a=1.0, b=2.0) == 1.0).all()
    assert (draw(mean=-1e308, a=1.0, b=2.0) == 1.0).all()
    assert (draw(mean=1e308, std=1e-308, a=-1e308, b=1e308) == 1e308).all()
    assert abs(draw(std=1e307, a=-1e308, b=1e308)).max() < 1e308


@pytest.mark.parametrize("shape", [(7, 7), (5, 9), (9, 5), (6, 4, 3), (4, 2, 3, 5), (1, 8), (8, 1)])
@pytest.mark.parametrize("gain", [1.0, 0.5, math.sqrt(2.0), 0.0])
def test_orthogonal_is_orthogonal(shape, gain):
    w = init.orthogonal(shape, gain, rng=1, dtype=np.float64).reshape(shape[0], -1)
    product = w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w
    np.testing.assert_allclose(product, gain**2 * np.eye(len(product)), rtol=0, atol=1e-14)


def test_orthogonal_matrices_are_evenly_distributed():
    # Of 2 x 2 ones, half are rotations; the first column points anywhere (Mezzadri's example
    # shows that the signs of LAPACK's factors alone do not give this).
    rng = np.random.default_rng(0)
    drawn = np.array([init.orthogonal((2, 2), rng=rng, dtype=np.float64) for _ in range(4000)])
    assert abs((np.linalg.det(drawn) > 0).mean() - 0.5) < 6 * 0.5 / math.sqrt(4000)
    for column in 0, 1:
        assert_even(np.arctan2(drawn[:, 1, column], drawn[:, 0, column]) / (2 * np.pi) + 0.5)


@pytest.mark.parametrize("shape", [(10, 4), (4, 10), (1, 3), (7, 300)])
@pytest.mark.parametrize("sparsity", [0.0, 0.1, 0.5, 0.99, 1.0])
def test_sparse_has_its_zeros_in_each_column(shape, sparsity):
    x = init.sparse(shape, sparsity, rng=0)
    assert ((x == 0).sum(axis=0) == math.ceil(sparsity * shape[0])).all()


def test_sparse_puts_its_zeros_anywhere_and_normal_numbers_elsewhere():
    x = init.sparse((10, 4000), 0.3, std=0.5, rng=0, dtype=np.float64)
    zeros = (x == 0).mean(axis=1)
    assert abs(zeros - 0.3).max() < 6 * math.sqrt(0.3 * 0.7 / 4000)
    together = (x == 0).astype(int)
    assert abs((together[0] * together[1]).mean() - 0.3 * 2 / 9) < 6 * math.sqrt(0.07 / 4000)
    assert_normal(x[x != 0], 0.0, 0.5)
    assert init.sparse((10, 10), 0.3, rng=0).std() < 0.02  # the default deviation is 0.01


@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (4, 4), (0, 3), (3, 0)])
def test_eye_is_that_of_torch(shape):
    torch = pytest.importorskip("torch")
    expected = torch.nn.init.eye_(torch.empty(shape, dtype=torch.float64)).numpy()
    np.testing.assert_array_equal(init.eye(shape), expected)


@pytest.mark.parametrize("shape", [(4, 6), (6, 2), (6, 6), (6, 1)])
@pytest.mark.parametrize("kernel", [(3,), (4, 3), (1, 2, 3)])
@pytest.mark.parametrize("groups", [1, 2])
def test_dirac_is_that_of_torch(shape, kernel, groups):
    torch = pytest.importorskip("torch")
    expected = torch.nn.init.dirac_(torch.empty(*shape, *kernel), groups).numpy()
    np.testing.assert_array_equal(init.dirac((*shape, *kernel), groups), expected)


def test_dirac_without_elements():
    assert init.dirac((0, 3, 3)).shape == (0, 3, 3)
    assert init.dirac((3, 0, 3)).shape == (3, 0, 3)


@pytest.mark.parametrize(
    ("draw", "shapes"),
    [
        (init.eye, [(), 3, (3,), (2, 2, 2)]),
        (init.dirac, [(), 3, (3, 3), (1,) * 6]),
        (init.orthogonal, [(), 3, (3,)]),
        (lambda shape: init.sparse(shape, 0.5), [(), 3, (3,), (2, 2, 2)]),
    ],
)
def test_matrices_need_their_axes(draw, shapes):
    for shape in shapes:
        with pytest.raises(ShapeError, match=r"^init\.\w+ needs a shape \(out, in.*\).*, got \("):
            draw(shape)


@pytest.mark.parametrize("draw", ALL)
@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (5, 0), (4, 0, 3, 3), (4, 3, 0)])
def test_empty_shapes(draw, shape):
    x = draw(shape)
    assert x.shape == shape
    assert x.dtype == np.float32


@pytest.mark.parametrize("mode", ["fan_in", "fan_out"])
@pytest.mark.parametrize("draw", [init.kaiming_uniform, init.kaiming_normal])
def test_empty_shapes_in_both_modes(draw, mode):
    assert draw((5, 0), mode=mode).shape == (5, 0)
    assert draw((0, 5), mode=mode).shape == (0, 5)


def test_shapes_may_be_ints_lists_arrays_or_nothing():
    assert init.uniform(3).shape == (3,)
    assert init.normal([2, 3]).shape == (2, 3)
    assert init.zeros(np.array([2, 3])).shape == (2, 3)
    assert init.ones(np.int64(3)).shape == (3,)
    assert init.uniform(()).shape == init.normal(()).shape == ()
    assert isinstance(init.normal(()), np.ndarray)


def test_no_width_and_no_deviation_give_constants():
    np.testing.assert_array_equal(init.uniform(4, 0.5, 0.5), np.full(4, 0.5))
    np.testing.assert_array_equal(init.normal(4, 0.5, 0.0), np.full(4, 0.5))
    np.testing.assert_array_equal(init.xavier_uniform((2, 2), 0.0), np.zeros((2, 2)))
    np.testing.assert_array_equal(init.xavier_normal((2, 2), 0.0), np.zeros((2, 2)))


@pytest.mark.parametrize("draw", WITH_FANS)
@pytest.mark.parametrize("shape", [(), 5, (5,), (0,)])
def test_fans_need_two_dimensions(draw, shape):
    with pytest.raises(ShapeError, match=r"need a shape \(out, in, \*kernel\), got .*init.zeros"):
        draw(shape)


@pytest.mark.parametrize("draw", ALL)
@pytest.mark.parametrize(
    "shape",
    [(2, -1), (2, 2.0), 2.0, "ab", None, np.ones((2, 2)), (2, None), np.array(3), True, {2, 3}],
)
def test_what_is_no_shape_is_refused(draw, shape):
    with pytest.raises(ArgumentError, match=r"init.* expects shape(\[\d\])? to be an? "):
        draw(shape)


@pytest.mark.parametrize("draw", ALL)
@pytest.mark.parametrize("shape", [(10**9, 10**9), (10**18,) * 30, (2**60, 2)])
def test_a_shape_beyond_memory_is_refused(draw, shape):
    with pytest.raises(ArgumentError, match=f"{re.escape(str(shape))} is larger than the memory"):
        draw(shape)


def test_odd_sizes():
    with pytest.raises(ArgumentError, match="at most 64 axes, got 70"):
        init.zeros((1,) * 70)
    with pytest.raises(ArgumentError, match="a shape|an integer"):
        init.zeros((10**400, 2))
    assert init.zeros((0, 10**9)).shape == (0, 10**9)
    with pytest.raises(ArgumentError, match="larger than"):
        init.fan_in_and_fan_out((0, *(10**18,) * 40))


@pytest.mark.parametrize(
    "call",
    [
        lambda: init.constant(2, 1e39),
        lambda: init.constant(2, -1e5, dtype=np.float16),
        lambda: init.uniform(2, 0.9e39, 1e39, rng=0),
        lambda: init.normal(2, 1e39, 1.0, rng=0),
    ],
)
def test_numbers_that_the_dtype_cannot_hold_are_refused(call):
    with pytest.raises(ArgumentError, match="cannot hold numbers as large"):
        call()


@pytest.mark.parametrize("draw", ALL)
@pytest.mark.parametrize("dtype", [int, np.int8, bool, complex, object, str, "no dtype", None])
def test_what_is_no_floating_dtype_is_refused(draw, dtype):
    with pytest.raises(
        DtypeError, match=r"expects dtype to be a floating dtype such as np\.float32, got"
    ):
        draw((2, 2), dtype=dtype)


@pytest.mark.parametrize("draw", RANDOM)
@pytest.mark.parametrize("rng", [-1, 0.5, "0", np.random, True, 2**128, np.array(1)])
def test_what_is_no_generator_is_refused(draw, rng):
    with pytest.raises(ArgumentError, match="expects rng to be a"):
        draw((2, 2), rng=rng)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: init.uniform(2, 1.0, 0.0), "b to be a finite number of at least 1, got 0.0"),
        (lambda: init.uniform(2, -1e308, 1e308), "finite distance"),
        (lambda: init.uniform(2, math.nan), "a to be a finite number, got nan"),
        (lambda: init.uniform(2, 0.0, math.inf), "b to be a finite number of at least 0, got inf"),
        (lambda: init.uniform(2, 0.0, "1"), "b to be a finite number of .*, got '1'"),
        (lambda: init.normal(2, math.inf), "mean to be a finite number, got inf"),
        (lambda: init.normal(2, 0.0, -1.0), "std to be a finite number of at least 0, got -1.0"),
        (lambda: init.trunc_normal(2, std=0.0), "std to be a finite number above 0, got 0.0"),
        (lambda: init.trunc_normal(2, a=1.0, b=0.5), "b to be .* of at least 1, got 0.5"),
        (lambda: init.trunc_normal(2, a=-math.inf), "a to be a finite number, got -inf"),
        (lambda: init.orthogonal((2, 2), math.inf), "gain to be a finite number, got inf"),
        (lambda: init.sparse((2, 2), 1.5), "sparsity to be .* at most 1, got 1.5"),
        (lambda: init.sparse((2, 2), None), "sparsity to be .*, got None"),
        (lambda: init.sparse((2, 2), 0.5, -1.0), "std to be .* of at least 0, got -1.0"),
        (lambda: init.dirac((4, 2, 3), 3), "groups must divide the 4 outputs, got 3"),
        (lambda: init.dirac((4, 2, 3), 0), "groups to be a positive integer, got 0"),
        (lambda: init.constant(2, 1j), "value to be a finite number, got 1j"),
        (lambda: init.constant(2, [1.0, 2.0]), "value to be a finite number"),
        (lambda: init.constant(2, True), "value to be a finite number, got True"),
        (lambda: init.xavier_uniform((2, 2), -1), "gain to be .* at least 0, got -1"),
        (lambda: init.xavier_normal((2, 2), math.nan), "gain to be .* got nan"),
        (lambda: init.kaiming_normal((2, 2), None), "negative slope, to be .* got None"),
        (lambda: init.kaiming_normal((2, 2), math.nan), "negative slope,? to be .* got nan"),
        (lambda: init.kaiming_normal((2, 2), "fan_out"), "negative slope,? to be .* got 'fan_out'"),
        (
            lambda: init.kaiming_normal((2, 2), "fan_out", nonlinearity="relu"),
            "negative slope,? to be .* got 'fan_out'",
        ),
        (lambda: init.kaiming_uniform((2, 2), mode="fan_avg"), "mode to be .* got 'fan_avg'"),
        (lambda: init.calculate_gain("leaky_relu", "0.1"), "negative slope,? to be .* got '0.1'"),
        (
            lambda: init.kaiming_uniform((2, 2), nonlinearity="gelu"),
            "'conv1d', .* 'relu', 'selu', 'sigmoid' or 'tanh', got 'gelu'",
        ),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ArgumentError, match=message):
        call()


@pytest.mark.parametrize(
    "name",
    ["uniform", "normal", "zeros", "ones", "xavier_uniform", "xavier_normal", "kaiming_uniform",
     "kaiming_normal", "trunc_normal", "orthogonal", "eye"],
)  # fmt: skip
def test_the_function_that_was_called_complains(name):
    function = getattr(init, name)
    with pytest.raises(DtypeError, match=f"^init.{name} expects dtype"):
        function((2, 2), dtype=int)
    with pytest.raises(ArgumentError, match=f"^init.{name}: .* is larger than the memory$"):
        function((10**9, 10**9 - 1))


def test_a_layer_complains_of_its_own_dtype():
    with pytest.raises(DtypeError, match="^Linear expects dtype"):
        npnet.Linear(4, 2, dtype=int)


def test_an_array_of_sizes_is_a_shape():
    assert init.zeros(np.array([2, 3])).shape == (2, 3)
    for wrong in np.zeros(0), np.array([2.0, 3.0]), np.array([True]):
        with pytest.raises(ArgumentError, match="shape"):
            init.zeros(wrong)


def test_a_refused_call_draws_nothing():
    generator = np.random.default_rng(0)
    before = generator.bit_generator.state
    with pytest.raises(DtypeError):
        init.normal((2, 2), rng=generator, dtype=int)
    with pytest.raises(ArgumentError):
        init.kaiming_uniform((2, 2), nonlinearity="gelu", rng=generator)
    assert generator.bit_generator.state == before


def test_bounds_too_far_apart_are_refused():
    for make in (
        lambda: init.uniform((2, 2), -1e308, 1e308),
        lambda: init.xavier_uniform((2, 2), gain=1e308),
    ):
        with pytest.raises(ArgumentError, match="finite distance"):
            make()
