"""Layers with several inputs or with indices: contract, gradients, PyTorch, copies."""

import copy

import numpy as np
import pytest

import npnet
from cases import CALLS
from npnet.gradcheck import check_layer

EACH = pytest.mark.parametrize("case", CALLS, ids=lambda case: case.id)


def drawn(case, rng, scale=1.0, dtype=np.float64):
    """Return the inputs of a case."""
    return [
        (rng.normal(size=x) * scale).astype(dtype) if isinstance(x, tuple) else x
        for x in case.inputs
    ]


def flat(outputs):
    """Return the outputs of a layer or of PyTorch's, which may be nested, as a list."""
    return [y for each in outputs for y in flat(each)] if isinstance(outputs, tuple) else [outputs]


@EACH
def test_the_contract_is_kept(case):
    if all(np.size(x) for x in case.inputs):
        assert check_layer(case.make, *case.inputs, batch_axis=case.batch_axis).ok


@EACH
@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_values_and_gradients_are_those_of_torch(case, scale, rng):
    torch = pytest.importorskip("torch", reason="needs the oracle: pip install torch")
    layer = case.make().astype(np.float64)
    reference = eval(case.torch, vars(torch.nn) | {"float": float}).double()
    reference.load_state_dict({n: torch.from_numpy(v) for n, v in layer.state_dict().items()})
    inputs = drawn(case, rng, scale)
    tensors = [torch.from_numpy(np.asarray(x)) for x in inputs]
    tensors = [t.requires_grad_() if t.is_floating_point() else t.long() for t in tensors]
    expected = flat(reference(*tensors))
    grads = [rng.normal(size=tuple(y.shape)) for y in expected]
    torch.autograd.backward(expected, [torch.from_numpy(grad) for grad in grads])
    outputs, tape = layer.record(*inputs)
    found = tape.backward(*grads, input_grad=True)
    close = {"rtol": 1e-9, "atol": 1e-12}
    for y, e in zip(flat(outputs), expected, strict=True):
        np.testing.assert_allclose(y, e.detach().numpy(), **close)
    found = found if isinstance(found, tuple) else (found,)
    for dx, t in zip(found, tensors, strict=True):
        assert (dx is None) == (not t.is_floating_point())
        if dx is not None:
            np.testing.assert_allclose(dx, t.grad.numpy(), rtol=1e-9, atol=1e-12 / scale)
    for p, q in zip(layer.parameters(), reference.parameters(), strict=True):
        np.testing.assert_allclose(p.grad, q.grad.to_dense().numpy(), **close)


@EACH
def test_dtypes_copies_and_arguments(case, rng):
    layer = case.make()
    inputs = drawn(case, rng, dtype=np.float32)
    expected = flat(layer(*inputs))
    assert {y.dtype for y in expected} == {np.dtype(np.float32)}
    again = type(layer).from_config(layer.get_config())
    again.load_state_dict(layer.state_dict())
    assert repr(again) == repr(layer)
    for other in (again, copy.deepcopy(layer)):
        for y, e in zip(flat(other(*inputs)), expected, strict=True):
            np.testing.assert_array_equal(y, e)
    outputs, tape = layer.record(*inputs)
    found = tape.backward(*map(np.ones_like, flat(outputs)), input_grad=True)
    found = found if isinstance(found, tuple) else (found,)
    assert all(dx is None or dx.dtype == np.float32 for dx in found)
    assert all(p.grad.dtype == np.float32 for p in layer.parameters())


@pytest.mark.parametrize("make", [npnet.CosineSimilarity, npnet.PairwiseDistance,
                                  lambda: npnet.Bilinear(3, 3, 2)])  # fmt: skip
def test_an_empty_batch(make):
    empty = np.zeros((0, 3))
    layer = make()
    y, tape = layer.record(empty, empty)
    assert y.shape[0] == 0
    for dx in tape.backward(y, input_grad=True):
        assert dx.shape == (0, 3)


# --- where there is no derivative, and far from 1


@pytest.mark.parametrize("p", [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, -1.0, np.inf, -np.inf])
def test_distances_of_equal_vectors_and_ties_are_those_of_torch(p):
    torch = pytest.importorskip("torch", reason="needs the oracle: pip install torch")
    a = np.array([[0.0, 1, -2], [1, 1, 1], [2, 2, 0], [np.nan, 1, 0]])
    b = np.array([[0.0, 1, -2], [1, 0, 2], [0, 4, 0], [0, 0, 0]])
    ta = torch.from_numpy(a.copy()).requires_grad_()
    expected = torch.nn.PairwiseDistance(p, eps=0.0)(ta, torch.from_numpy(b))
    y, tape = npnet.PairwiseDistance(p, eps=0.0).record(a, b)
    da, db = tape.backward(np.ones(4), input_grad=True)
    np.testing.assert_allclose(y[:3], expected.detach().numpy()[:3], rtol=1e-12)
    if p != 0:
        assert np.isnan(y[3])
        expected.sum().backward()
        np.testing.assert_allclose(da[:3], ta.grad.numpy()[:3], rtol=1e-12)
    np.testing.assert_array_equal(db, -da)


@pytest.mark.parametrize("eps", [1e-8, 3.0])
def test_cosines_of_short_vectors_are_those_of_torch(eps):
    torch = pytest.importorskip("torch", reason="needs the oracle: pip install torch")
    a = np.array([[1e-9, 0.0], [0.0, 0.0], [3.0, 4.0]])
    b = np.array([[1.0, 2.0], [1.0, 2.0], [0.0, 0.0]])
    ta, tb = (torch.from_numpy(x.copy()).requires_grad_() for x in (a, b))
    expected = torch.nn.CosineSimilarity(eps=eps)(ta, tb)
    expected.sum().backward()
    y, tape = npnet.CosineSimilarity(eps=eps).record(a, b)
    da, db = tape.backward(np.ones(3), input_grad=True)
    np.testing.assert_allclose(y, expected.detach().numpy(), rtol=1e-12)
    np.testing.assert_allclose(da, ta.grad.numpy(), rtol=1e-12)
    np.testing.assert_allclose(db, tb.grad.numpy(), rtol=1e-12)
    assert np.isnan(npnet.CosineSimilarity(eps=0.0)([[0.0]], [[1.0]])).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_norms_neither_overflow_nor_vanish(dtype):
    a = np.array([[3.0, 4.0]], dtype)
    limits = np.finfo(dtype)
    for size in (limits.max / 16, limits.tiny * 16, limits.tiny / 64):
        y, tape = npnet.CosineSimilarity(eps=0.0).record(a * dtype(size), a)
        np.testing.assert_allclose(y, 1, rtol=1e-4)
        tape.backward(np.ones_like(y), input_grad=True)
        y, tape = npnet.PairwiseDistance(eps=0.0).record(a * dtype(size), np.zeros_like(a))
        np.testing.assert_allclose(y, dtype(5) * dtype(size), rtol=1e-5)
        dx, _ = tape.backward(np.ones_like(y), input_grad=True)
        np.testing.assert_allclose(dx, [[0.6, 0.8]], rtol=1e-4)


def test_numbers_are_vectors_of_one():
    for layer, expected, slopes in (
        (npnet.CosineSimilarity(0), -1.0, (0, 0)),
        (npnet.PairwiseDistance(eps=0.0), 5.0, (-1, 1)),
    ):
        y, tape = layer.record(-2.0, 3.0)
        assert y.shape == ()
        assert y == pytest.approx(expected)
        assert tape.backward(np.ones(()), input_grad=True) == pytest.approx(slopes)


# --- mistakes


@pytest.mark.parametrize(("call", "match"), [
    (lambda: npnet.CosineSimilarity()(np.ones(3), np.ones(3)), "axis 1 does not exist"),
    (lambda: npnet.CosineSimilarity()(np.ones((3, 2)), np.ones((4, 2))), "broadcasts"),
    (lambda: npnet.CosineSimilarity(eps=-1), "eps"),
    (lambda: npnet.CosineSimilarity()(1.0, 2.0), "axis 1 does not exist"),
    (lambda: npnet.AlphaDropout(0.5, inplace=True), "leave it out"),
    (lambda: npnet.Bilinear(2, 3, 4, device="cpu"), "on the CPU"),
    (lambda: npnet.PairwiseDistance("2"), "p to be"),
    (lambda: npnet.PairwiseDistance(np.inf)(np.ones((2, 0)), np.ones((2, 0))), "at least"),
    (lambda: npnet.Bilinear(2, 3, 4)(np.ones((1, 2)), np.ones((5, 3))), r"got \(5, 3\)"),
    (lambda: npnet.Bilinear(2, 3, 4)(1.0, np.ones((5, 3))), r"got \(\)"),
    (lambda: npnet.Unflatten(1, 6), "sizes of axes"),
    (lambda: npnet.Unflatten(1, (-1, -1)), "at most one -1"),
    (lambda: npnet.Unflatten(1, (4, -1))(np.ones((2, 6))), "a multiple of 4"),
    (lambda: npnet.Unflatten(1, (4, 2))(np.ones((2, 6))), "with 8 along axis 1"),
    (lambda: npnet.Unflatten(1, (0, -1))(np.ones((2, 0))), "a multiple of 0"),
    (lambda: npnet.Unflatten(2, (2, 3))(np.ones((2, 6))), "axis 2 does not exist"),
    (lambda: npnet.FeatureAlphaDropout().record(np.ones(3)), "channels"),
    (lambda: npnet.GaussianNoise(0.1, seed=3), "record"),
])  # fmt: skip
def test_mistakes_are_named(call, match):
    with pytest.raises(npnet.NpnetError, match=match):
        call()


@EACH
def test_infinities_nan_and_huge_numbers_are_values_like_others(case, rng):
    for _ in range(10):  # warnings are errors here
        inputs = [
            rng.choice([np.inf, -np.inf, np.nan, 1e308, 5e-324, 0.0, 1.0], x)
            if isinstance(x, tuple)
            else x
            for x in case.inputs
        ]
        outputs, tape = case.make().astype(np.float64).record(*inputs)
        assert all(y.dtype == np.float64 for y in flat(outputs))
        choices = [np.inf, np.nan, 1e308, 0.0, 1.0]
        upstream = (rng.choice(choices, y.shape) for y in flat(outputs))
        grads = tape.backward(*upstream, input_grad=True)
        for grad, x in zip(grads if isinstance(grads, tuple) else (grads,), inputs, strict=True):
            assert grad is None or (grad.shape, grad.dtype) == (x.shape, np.float64)
