"""Activations on kinks, at infinity, with NaN and huge numbers; what random slopes are."""

import numpy as np
import pytest

import npnet
from npnet.elementwise import Elementwise
from npnet.errors import ArgumentError, DtypeError, MissingMethod, ShapeError, SignatureError
from npnet.ops.elementwise import WHOLE

# Class, arguments, and points besides the usual ones.
EDGES = [
    ("ReLU", (), ()),
    ("ReLU6", (), (6.0, 6.1)),
    ("LeakyReLU", (0.2,), ()),
    ("LeakyReLU", (2.0,), ()),
    ("PReLU", (), ()),
    ("ELU", (0.3,), ()),
    ("ELU", (-0.3,), ()),
    ("CELU", (2.0,), ()),
    ("CELU", (1 / 64,), ()),
    ("CELU", (-2.0,), (-4.0,)),
    ("SELU", (), ()),
    ("Mish", (), (-40.0, -1.192, 19.9, 20.1)),
    ("SiLU", (), (-40.0,)),
    ("GELU", (), ()),
    ("GELU", ("tanh",), ()),
    ("Sigmoid", (), (-40.0,)),
    ("LogSigmoid", (), (40.0,)),
    ("Tanh", (), ()),
    ("Tanhshrink", (), (20.0,)),
    ("Softplus", (), (20.0, 20.1)),
    ("Softplus", (2.0, -3.0), (-1.5, -1.4)),
    ("Softsign", (), ()),
    ("Hardtanh", (-2.0, 1.5), (-2.0, 1.5)),
    ("Hardswish", (), (-3.0, 3.0, 2.9, -2.9)),
    ("Hardshrink", (), (-0.5, 0.5, 0.51)),
    ("Hardshrink", (0.0,), ()),
    ("Softshrink", (), (-0.5, 0.5, 0.51)),
    ("Softshrink", (0.0,), ()),
    ("Threshold", (0.5, 7.0), (0.5, 0.51)),
    ("Threshold", (-0.5, 0.0), (-0.5,)),
]
USUAL = (0.0, -0.0, 1.0, -1.0, 1e-30, -1e-30, 1000.0, -1000.0, 3e4, -3e4)
edges = pytest.mark.parametrize(
    ("name", "args", "points"), EDGES, ids=[f"{name}{args}" for name, args, _ in EDGES]
)


def ours(name, args, x, upstream=None):
    y, tape = getattr(npnet, name)(*args).astype(x.dtype).record(x)
    return y, tape.backward(np.ones_like(y) if upstream is None else upstream, input_grad=True)


def theirs(name, args, x, upstream=None):
    torch = pytest.importorskip("torch", reason="needs the oracle: pip install torch")
    tx = torch.from_numpy(x.astype(float)).requires_grad_()
    ty = getattr(torch.nn, name)(*args).double()(tx)
    ty.backward(torch.ones_like(ty) if upstream is None else torch.from_numpy(upstream))
    return ty.detach().numpy(), tx.grad.numpy()


@edges
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_kinks_and_large_numbers_are_as_in_torch(name, args, points, dtype):
    x = np.array([*USUAL, *points], dtype)
    tiny, rtol = (1e-6, 1e-5) if dtype == np.float32 else (1e-15, 1e-9)
    for mine, oracle in zip(ours(name, args, x), theirs(name, args, x), strict=True):
        assert mine.dtype == dtype
        with np.errstate(over="ignore"):
            oracle = oracle.astype(dtype)
        np.testing.assert_allclose(mine, oracle, rtol=rtol, atol=tiny)


@edges
def test_infinities_and_nan_are_as_in_torch(name, args, points):
    for value in (np.inf, -np.inf, np.nan):
        y, dx = ours(name, args, np.array([value]))
        # PyTorch's vectors of eight and what is left of them do not agree on the derivative of NaN.
        (ty, one), (_, eight) = (theirs(name, args, np.full(n, value)) for n in (1, 8))
        np.testing.assert_array_equal(y, ty)
        if one == eight[0]:  # not where it is NaN at infinity, and ours the limit
            np.testing.assert_array_equal(dx, one)
        elif np.isnan(value):
            assert np.isnan(dx) == np.isnan(one)


@edges
def test_a_gradient_that_is_infinite_stays_where_it_is(name, args, points):
    x = np.array([-2.5, -0.2, 0.3, 2.5])
    upstream = np.array([np.inf, np.inf, -np.inf, np.nan])
    mine, oracle = ours(name, args, x, upstream)[1], theirs(name, args, x, upstream)[1]
    if name in ("Tanhshrink", "Softsign"):  # which PyTorch differentiates as a sum: inf - inf
        oracle = upstream
    np.testing.assert_array_equal(mine, oracle)


def test_hardsigmoid_is_a_sixth_of_a_shifted_relu6(rng):
    # PyTorch's own has the slope 1/6 in single precision, also for float64.
    torch = pytest.importorskip("torch", reason="needs the oracle: pip install torch")
    x = np.array([-np.inf, -3.0, -2.9, 0.0, 2.9, 3.0, np.inf, *rng.normal(size=20) * 3])
    tx = torch.from_numpy(x.copy()).requires_grad_()
    ty = torch.nn.ReLU6()(tx + 3) / 6
    upstream = rng.normal(size=x.shape)
    ty.backward(torch.from_numpy(upstream))
    y, dx = ours("Hardsigmoid", (), x, upstream)
    np.testing.assert_allclose(y, ty.detach().numpy(), rtol=1e-12)
    np.testing.assert_allclose(dx, tx.grad.numpy(), rtol=1e-12)
    np.testing.assert_array_equal(ours("Hardsigmoid", (), np.array([np.nan])), [[np.nan], [0.0]])


def test_the_slope_of_logsigmoid_far_out():
    x = np.array([25.0, 40.0, 700.0])
    np.testing.assert_allclose(ours("LogSigmoid", (), x)[1], np.exp(-x), rtol=1e-10)


@edges
def test_float32_is_close_to_float64(name, args, points, rng):
    x = (rng.normal(size=2000) * 5).astype(np.float32)
    # Away from the kinks, which rounding may cross.
    for exact, mine in zip(ours(name, args, x.astype(float)), ours(name, args, x), strict=True):
        np.testing.assert_allclose(mine, exact, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("name", ["Mish", "SiLU", "Hardswish", "Threshold", "ELU", "Softplus"])
def test_large_arrays_are_cut_into_blocks(name, rng):
    args = (0.1, 20.0) if name == "Threshold" else ()
    x = rng.normal(size=(3, WHOLE))
    upstream = rng.normal(size=x.shape)
    whole = ours(name, args, x, upstream)
    for i in range(3):
        for part, row in zip(whole, ours(name, args, x[i], upstream[i]), strict=True):
            np.testing.assert_array_equal(part[i], row)
    turned = ours(name, args, x.T, upstream.T)
    for a, b in zip(whole, turned, strict=True):
        np.testing.assert_allclose(a, b.T, rtol=1e-14)


@pytest.mark.parametrize("dtype", [np.float16, np.longdouble])
@pytest.mark.parametrize("name", ["LeakyReLU", "Hardtanh", "Hardswish", "ELU", "Softshrink"])
def test_other_dtypes(name, dtype, rng):
    x = rng.normal(size=50).astype(dtype)
    exact = ours(name, (), x.astype(float))
    found = ours(name, (), x) if dtype == np.float16 else None
    if found is None:  # which npnet converts, but layers may hand it on
        layer, ctx = getattr(npnet, name)(), npnet.Context(None, True, True)
        found = layer.forward(ctx, x), layer.backward(ctx, np.ones_like(x))
    for a, b in zip(found, exact, strict=True):
        assert a.dtype == dtype
        np.testing.assert_allclose(a.astype(float), b, rtol=4e-3, atol=1e-3)


@pytest.mark.parametrize(
    "name", ["ReLU6", "PReLU", "RReLU", "Mish", "Softmin", "Hardshrink", "Threshold"]
)
def test_scalars_and_integers(name):
    args = (0.5, 7.0) if name == "Threshold" else ()
    layer = getattr(npnet, name)(*args)
    for value in (2, -1):
        y = layer(value)
        assert y.shape == ()
        assert y.dtype == np.float32
        np.testing.assert_allclose(y, layer([float(value)])[0])
        out, tape = layer.record(np.float64(value), training=False)
        assert np.shape(tape.backward(np.ones_like(out), input_grad=True)) == ()


# --- rectifiers with slopes of their own


def test_random_slopes_are_uniform_where_the_input_is_not_positive(rng):
    x = rng.normal(size=(100, 200))
    x[0, 0] = 0
    layer = npnet.RReLU(0.2, 0.6)
    y, tape = layer.record(x, rng=1)
    slope = tape.backward(np.ones_like(x), input_grad=True)
    np.testing.assert_array_equal(y, x * slope)
    assert (slope[x > 0] == 1).all()
    drawn = slope[x <= 0]
    assert 0.2 <= drawn.min() < 0.201
    assert 0.599 < drawn.max() <= 0.6
    np.testing.assert_allclose(np.quantile(drawn, [0.25, 0.5, 0.75]), [0.3, 0.4, 0.5], atol=0.01)
    assert len(np.unique(drawn)) > 0.99 * drawn.size
    np.testing.assert_array_equal(layer.record(x, rng=1)[0], y)
    expected = np.where(x > 0, x, 0.4 * x)
    np.testing.assert_allclose(layer(x), expected, rtol=1e-14)
    np.testing.assert_allclose(layer.record(x, training=False)[0], expected, rtol=1e-14)


def test_prelu_state_moves_both_ways():
    torch = pytest.importorskip("torch", reason="needs the oracle: pip install torch")
    layer, other = npnet.PReLU(3), torch.nn.PReLU(3, init=0.7)
    layer.load_state_dict(other.state_dict())
    np.testing.assert_array_equal(layer.weight.data, np.float32([0.7, 0.7, 0.7]))


def test_prelu_where_only_the_slopes_meet_infinity():
    # An infinite gradient of a positive element says nothing about the slope.
    layer = npnet.PReLU(dtype=np.float64)
    y, tape = layer.record([1.0, -2.0])
    tape.backward([np.inf, 1.0])
    assert layer.weight.grad.tolist() == [-2.0]


# --- layers that shrink an axis


@pytest.mark.parametrize("axis", [-1, 1, -3])
def test_maxout_against_a_loop(axis, rng):
    x = rng.integers(-3, 3, (2, 6, 6, 6)).astype(float)  # with ties
    y, tape = npnet.Maxout(2, axis).record(x)
    upstream = rng.normal(size=y.shape)
    dx = tape.backward(upstream, input_grad=True)
    moved, out = np.moveaxis(x, axis, -1), np.moveaxis(y, axis, -1)
    g, expected = np.moveaxis(upstream, axis, -1), np.zeros(np.moveaxis(x, axis, -1).shape)
    for place in np.ndindex(out.shape):
        candidates = [(*place[:-1], place[-1] + 2 * k) for k in range(3)]
        best = max(candidates, key=lambda i: moved[i])  # the first of equal ones
        assert out[place] == moved[best]
        expected[best] += g[place]
    np.testing.assert_array_equal(np.moveaxis(dx, axis, -1), expected)


def test_maxout_hands_nan_on():
    y, tape = npnet.Maxout(1).record([[1.0, np.nan, 2.0]])
    assert np.isnan(y).all()
    np.testing.assert_array_equal(tape.backward([[3.0]], input_grad=True), [[0, 3, 0]])


def test_lambda():
    cube = npnet.Lambda(lambda x: x**3, lambda x: 3 * x * x)
    y, tape = npnet.Sequential(cube, npnet.Linear(2, 1)).record(np.ones((3, 2)))
    assert y.dtype == np.float32
    assert cube([2]).tolist() == [8]
    y, tape = cube.record([2.0])
    assert tape.backward([0.5], input_grad=True).tolist() == [6]
    # What a function makes in another dtype comes back in the input's.
    assert npnet.Lambda(lambda x: x > 0, np.zeros_like)([1.0]).dtype == np.float32


@pytest.mark.parametrize("wrong", [None, 1j * np.ones(2), ["a", "b"]])
def test_lambda_refuses_what_is_not_real(wrong):
    with pytest.raises(DtypeError, match="result of f"):
        npnet.Lambda(lambda x: wrong, np.cos)(np.ones(2))


def test_functions_of_lambda_cannot_change_the_input():
    x = np.ones(2)
    layer = npnet.Lambda(lambda x: np.sin(x, out=x), np.cos)
    with pytest.raises(ValueError, match="read-only"):
        layer(x)
    np.testing.assert_array_equal(x, [1, 1])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: npnet.Hardtanh(2.0, 1.0), "Hardtanh expects min_val to be .* below 1"),
        (lambda: npnet.Hardtanh(1.0, 1.0), "below 1"),
        (lambda: npnet.RReLU(0.5, 0.2), "RReLU expects lower .* at most 0.2"),
        (lambda: npnet.Softshrink(-1), "Softshrink expects lambd .* at least 0"),
        (lambda: npnet.Hardshrink(-1), "Hardshrink expects lambd .* at least 0"),
        (lambda: npnet.CELU(0), "CELU expects alpha .* other than 0"),
        (lambda: npnet.PReLU(0), "PReLU expects num_parameters"),
        (lambda: npnet.Maxout(0), "Maxout expects num_units"),
        (lambda: npnet.Lambda(np.sin, None), "Lambda expects a derivative df"),
        (lambda: npnet.Lambda(3, np.sin), "Lambda expects a function f"),
    ],
)
def test_arguments_that_are_refused(make, message):
    with pytest.raises(ArgumentError, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: npnet.ReLU6(inplace=True), "leave it out; no layer writes into its input"),
        (lambda: npnet.RReLU(inplace=True), "leave it out"),
        (lambda: npnet.Hardtanh(min_value=-1), "it is min_val"),
        (lambda: npnet.PReLU(device="cpu"), "npnet computes on the CPU"),
        (lambda: npnet.Threshold(0.1), "value"),
        (lambda: npnet.Lambda(np.sin), "df"),
    ],
)
def test_calls_that_are_refused(make, message):
    with pytest.raises(SignatureError, match=message):
        make()


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (npnet.GLU(), (2, 3), "even size of axis -1"),
        (npnet.GLU(2), (2, 4), "axis 2 does not exist"),
        (npnet.GLU(), (), "axis -1 does not exist"),
        (npnet.Maxout(2), (2, 3), "multiple of 2"),
        (npnet.Maxout(2), (2, 0), "multiple of 2"),
        (npnet.Maxout(2, 2), (2, 4), "axis 2 does not exist"),
        (npnet.PReLU(2), (4, 3), r"\(m, 2, ...\), got \(4, 3\)"),
        (npnet.PReLU(2), (2,), r"\(m, 2, ...\), got \(2,\)"),
        (npnet.Softmax2d(), (2, 3), r"got \(2, 3\)"),
        (npnet.Lambda(np.sum, np.cos), (2, 3), r"result of f.*\(2, 3\), got \(\)"),
    ],
)
def test_inputs_that_are_refused(layer, shape, message):
    with pytest.raises(ShapeError, match=message):
        layer(np.ones(shape))


def test_a_derivative_of_another_shape_is_refused():
    y, tape = npnet.Lambda(np.sin, np.sum).record([1.0, 2.0])
    with pytest.raises(ShapeError, match="result of df"):
        tape.backward(y, input_grad=True)


def test_one_image_without_a_batch_axis(rng):
    x = rng.normal(size=(3, 2, 4))
    np.testing.assert_allclose(npnet.Softmax2d()(x), npnet.Softmax(0)(x))


def test_a_replaced_formula_is_seen_where_layers_run_as_one(monkeypatch):
    chain = npnet.Sequential(npnet.Linear(3, 4), npnet.ReLU())
    x = np.ones((2, 3), np.float32)
    monkeypatch.setattr(npnet.ReLU, "function", lambda self, x, out: np.abs(x, out=out))
    np.testing.assert_allclose(chain(x), np.abs(chain[0](x)))


def test_slopes_of_another_dtype_than_the_layer_before(rng):
    chain = npnet.Sequential(npnet.Linear(3, 4, dtype=np.float64), npnet.PReLU())
    y, tape = chain.record(rng.normal(size=(5, 3)))
    assert y.dtype == np.float32
    tape.backward(np.ones_like(y))
    assert chain[0].weight.grad.dtype == np.float64


def test_formulas_that_are_missing():
    class Half(Elementwise):
        def function(self, x, out):
            np.multiply(x, 0.5, out=out)

    y, tape = Half().record([2.0])
    with pytest.raises(MissingMethod, match="gradient"):
        tape.backward(y)
    with pytest.raises(MissingMethod, match="function"):
        Elementwise()([2.0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_both_forms_of_gelu_hand_the_largest_number_on(dtype):
    largest = np.array([np.finfo(dtype).max])
    np.testing.assert_array_equal(npnet.GELU()(largest), largest)
    np.testing.assert_array_equal(npnet.GELU("tanh")(largest), largest)
