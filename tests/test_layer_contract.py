"""The contract of every layer in the table: ownership, tapes, gradients, dtypes, edges."""

import copy
import gc
import weakref

import numpy as np
import pytest

import npnet
from cases import LAYERS
from numerics import central_differences

CASES = [
    pytest.param(case, shape, id=f"{case.id}-{'x'.join(map(str, shape))}")
    for case in LAYERS
    for shape in case.shapes
]
FIRST = [pytest.param(case, case.shapes[0], id=case.id) for case in LAYERS]


def make(case, dtype=np.float64):
    npnet.manual_seed(1)
    return case.make().astype(dtype)


def draw(shape, dtype=np.float64, seed=2):
    # Bounded away from 0, where some functions have a kink.
    rng = np.random.default_rng(seed)
    return (rng.uniform(0.2, 1.5, shape) * rng.choice([-1, 1], shape)).astype(dtype)


def run(layer, x, seed=3):
    """Return output, input gradient and parameter gradients of one pass."""
    layer.zero_grad()
    y, tape = layer.record(x, rng=7)
    grad = draw(y.shape, y.dtype, seed)
    dx = tape.backward(grad, input_grad=True)
    return y, dx, [p.grad.copy() for p in layer.parameters()]


@pytest.mark.parametrize(("case", "shape"), CASES)
def test_gradients_match_central_differences(case, shape):
    layer, x = make(case), draw(shape)
    y, tape = layer.record(x, rng=7)
    upstream = draw(y.shape, seed=3)
    dx = tape.backward(upstream, input_grad=True)

    def value():
        return float((layer.record(x, rng=7)[0] * upstream).sum())

    np.testing.assert_allclose(dx, central_differences(value, x), rtol=1e-6, atol=1e-8)
    for p in layer.parameters():
        numeric = central_differences(value, p.data)
        np.testing.assert_allclose(p.grad, numeric, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(("case", "shape"), CASES)
def test_neither_input_nor_upstream_gradient_is_changed(case, shape):
    layer, x = make(case), draw(shape)
    x.flags.writeable = False
    before = x.copy()
    y, tape = layer.record(x)
    grad = draw(y.shape)
    grad.flags.writeable = False
    kept = grad.copy()
    tape.backward(grad, input_grad=True)
    layer(x)
    assert (x == before).all()
    assert (grad == kept).all()


@pytest.mark.parametrize(("case", "shape"), FIRST)
def test_recorded_output_equals_inference_output(case, shape):
    layer, x = make(case), draw(shape)
    y, _ = layer.record(x, training=not (case.random or case.statistics))
    np.testing.assert_array_equal(y, layer(x))
    np.testing.assert_array_equal(layer(x), layer(x))


@pytest.mark.parametrize(("case", "shape"), FIRST)
def test_inference_keeps_nothing(case, shape):
    layer, x = make(case), draw(shape)
    layer(x)  # a chain works out once what it runs
    before = copy.copy(vars(layer))
    alive = weakref.ref(x), weakref.ref(layer(x))
    del x
    gc.collect()
    assert [ref() for ref in alive] == [None, None]
    assert vars(layer) == before


@pytest.mark.parametrize(("case", "shape"), FIRST)
def test_two_calls_then_both_backward_passes(case, shape):
    layer = make(case)
    a, b = draw(shape, seed=4), draw(shape, seed=5)
    alone = [run(layer, x)[1:] for x in (a, b)]
    for order in ((0, 1), (1, 0)):
        layer.zero_grad()
        passes = [layer.record(x, rng=7) for x in (a, b)]
        dx = {}
        for i in order:
            y, tape = passes[i]
            dx[i] = tape.backward(draw(y.shape, seed=3), input_grad=True)
        for i in (0, 1):
            np.testing.assert_array_equal(dx[i], alone[i][0])
        for p, ga, gb in zip(layer.parameters(), alone[0][1], alone[1][1], strict=True):
            np.testing.assert_allclose(p.grad, ga + gb, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize(("case", "shape"), FIRST)
def test_parameter_gradients_do_not_depend_on_input_grad(case, shape):
    layer, x = make(case), draw(shape)
    _, _, with_input = run(layer, x)
    layer.zero_grad()
    y, tape = layer.record(x, rng=7)
    assert tape.backward(draw(y.shape, seed=3)) is None
    for p, grad in zip(layer.parameters(), with_input, strict=True):
        np.testing.assert_array_equal(p.grad, grad)


@pytest.mark.parametrize(("case", "shape"), FIRST)
def test_zero_gradient_gives_zero_gradients(case, shape):
    layer, x = make(case), draw(shape)
    y, tape = layer.record(x)
    assert not tape.backward(np.zeros_like(y), input_grad=True).any()
    assert not any(p.grad.any() for p in layer.parameters())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("case", "shape"), FIRST)
def test_dtype_and_shape_are_kept(case, shape, dtype):
    layer, x = make(case, dtype), draw(shape, dtype)
    y, dx, grads = run(layer, x)
    assert y.dtype == dx.dtype == layer(x).dtype == dtype
    assert dx.shape == shape
    assert all(g.dtype == dtype for g in grads)


@pytest.mark.parametrize(("case", "shape"), CASES)
def test_memory_layout_does_not_matter(case, shape):
    layer, x = make(case), draw(shape)
    y, dx, grads = run(layer, x)
    wide = np.zeros((*shape[:-1], shape[-1] * 2))
    wide[..., ::2] = x
    for other in (np.asfortranarray(x), wide[..., ::2], x[::-1].copy()[::-1]):
        y2, dx2, grads2 = run(layer, other)
        np.testing.assert_allclose(y2, y, rtol=1e-14)
        np.testing.assert_allclose(dx2, dx, rtol=1e-13)
        for g2, g in zip(grads2, grads, strict=True):
            np.testing.assert_allclose(g2, g, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("case", "shape"), FIRST)
def test_fortran_ordered_upstream_gradient(case, shape):
    layer, x = make(case), draw(shape)
    results = []
    for order in "CF":
        y, tape = layer.record(x, rng=7)
        grad = np.array(draw(y.shape), order=order)
        results.append(tape.backward(grad, input_grad=True))
    np.testing.assert_allclose(results[0], results[1], rtol=1e-14)


@pytest.mark.parametrize(("case", "shape"), FIRST)
def test_empty_batch(case, shape):
    layer, x = make(case), draw((0, *shape[1:]))
    y, dx, grads = run(layer, x)
    assert y.size == 0
    assert dx.shape == x.shape
    assert not any(g.any() for g in grads)


@pytest.mark.parametrize(("case", "shape"), FIRST)
def test_writing_into_the_output_does_not_change_the_gradient(case, shape):
    layer, x = make(case), draw(shape)
    _, dx, grads = run(layer, x)
    layer.zero_grad()
    y, tape = layer.record(x, rng=7)
    upstream = draw(y.shape, seed=3)
    if not np.shares_memory(y, x):
        y[...] = 5.0
    np.testing.assert_array_equal(tape.backward(upstream, input_grad=True), dx)
    for p, g in zip(layer.parameters(), grads, strict=True):
        np.testing.assert_array_equal(p.grad, g)


@pytest.mark.parametrize(("case", "shape"), FIRST)
def test_state_and_copies_agree(case, shape):
    layer, x = make(case), draw(shape)
    other = case.make().astype(np.float64)
    other.load_state_dict(layer.state_dict())
    np.testing.assert_array_equal(other(x), layer(x))
    twin = copy.deepcopy(layer)
    expected = layer(x)
    for p in layer.parameters():
        p.data += 1
    np.testing.assert_array_equal(twin(x), expected)
    assert repr(twin) == repr(layer)


@pytest.mark.parametrize(("case", "shape"), FIRST)
def test_complex_object_and_string_inputs_are_refused(case, shape):
    layer = make(case)
    for dtype in (complex, object, str):
        with pytest.raises(npnet.errors.DtypeError, match="real numbers"):
            layer(np.ones(shape).astype(dtype))


@pytest.mark.parametrize(("case", "shape"), FIRST)
def test_infinities_nan_and_huge_numbers_are_values_like_others(case, shape, rng):
    # Warnings are errors here.
    for _ in range(10):
        x = rng.choice([np.inf, -np.inf, np.nan, 1e308, -1e308, 5e-324, 0.0, 1.0], shape)
        layer = make(case)
        y, tape = layer.record(x, rng=7)
        upstream = rng.choice([np.inf, np.nan, 1e308, 0.0, 1.0], y.shape)
        assert tape.backward(upstream, input_grad=True).shape == x.shape
        assert layer(x).shape == y.shape
