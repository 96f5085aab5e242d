"""Penalties: values, gradients, what they are given."""

import copy

import numpy as np
import pytest

import npnet
from npnet.errors import ArgumentError, MissingMethod, NameTypoError
from npnet.penalties import L1, L2, ElasticNet, Penalty
from numerics import central_differences

KINDS = [L1, L2, ElasticNet, lambda p, s: ElasticNet(p, s, l1_ratio=0.2)]


def weights(rng, dtype=np.float64):
    return [npnet.Parameter(rng.normal(size=shape).astype(dtype)) for shape in ((3, 4), (2,), ())]


@pytest.mark.parametrize("make", KINDS)
def test_the_gradient_is_that_of_the_value(make, rng):
    parameters = weights(rng)
    penalty = make(parameters, 0.3)
    assert penalty.backward() is None
    for p in parameters:
        np.testing.assert_allclose(p.grad, central_differences(penalty, p.data), rtol=1e-7)


def test_values_are_those_of_keras_and_of_the_paper(rng):
    parameters = weights(rng)
    flat = np.concatenate([p.data.ravel() for p in parameters])
    l1, l2 = np.abs(flat).sum(), (flat**2).sum()
    for penalty, expected in (
        (L1(parameters, 0.3), 0.3 * l1),
        (L2(parameters, 0.3), 0.3 * l2),
        (ElasticNet(parameters, 0.3), 0.15 * (l1 + l2)),
        (ElasticNet(parameters, 0.3, 0.2), 0.3 * (0.2 * l1 + 0.8 * l2)),
    ):
        np.testing.assert_allclose(penalty(), expected, rtol=1e-12)
        assert type(penalty()) is float


@pytest.mark.parametrize("make", KINDS)
def test_gradients_are_added_to_what_is_there(make, rng):
    first = weights(rng)
    second = copy.deepcopy(first)
    penalty = make(first, 0.3)
    penalty.backward()
    alone = [p.grad.copy() for p in first]
    make(second, 0.3).backward()
    for p in second:
        p.grad[...] = 1
    make(second, 0.3).backward()
    for p, g in zip(second, alone, strict=True):
        np.testing.assert_allclose(p.grad, 1 + g)


@pytest.mark.parametrize("make", KINDS)
def test_float32_parameters_in_the_store_of_an_optimizer(make, rng):
    parameters = weights(rng, np.float32)
    optimizer = npnet.optim.SGD(parameters, lr=0.1)
    penalty = make(parameters, 0.3)
    before = penalty()
    penalty.backward()
    assert [p.grad.dtype for p in parameters] == [np.float32] * 3
    optimizer.step()
    assert penalty() < before


def test_l2_is_weight_decay(rng):
    decayed, penalized = npnet.Parameter([1.0, -2.0]), npnet.Parameter([1.0, -2.0])
    by_decay = npnet.optim.SGD([decayed], lr=0.1, weight_decay=0.6)
    by_penalty = npnet.optim.SGD([penalized], lr=0.1)
    for _ in range(3):
        decayed.grad = penalized.grad = np.zeros(2)
        L2([penalized], 0.3).backward()
        by_decay.step()
        by_penalty.step()
    np.testing.assert_allclose(decayed.data, penalized.data, rtol=1e-6)


def test_shared_and_frozen_parameters(rng):
    p = npnet.Parameter([1.0, -2.0])
    assert L1([p, p], 0.5)() == 1.5
    p.requires_grad = False
    penalty = L1([p], 0.5)
    penalty.backward()
    assert p.grad is None
    assert penalty() == 1.5


def test_zero_and_extreme_parameters():
    p = npnet.Parameter(np.array([0.0, 1e-30, -1e25], np.float32))
    for make in KINDS:
        penalty = make([p], 1e-3)
        with np.errstate(over="raise"):
            assert np.isfinite(penalty())
        p.zero_grad()
        penalty.backward()
        assert p.grad[0] == 0
    huge = npnet.Parameter(np.array([1e308, -1e200]))
    assert L2([huge], 1.0)() == np.inf
    nothing = L2([p], 0)
    p.zero_grad()
    nothing.backward()
    assert nothing() == 0
    assert not p.grad.any()


def test_the_strength_may_change(rng):
    p = npnet.Parameter([1.0, -2.0])
    penalty = L1([p], 0.5)
    penalty.strength = 2
    assert penalty() == 6
    assert "strength=2.0" in repr(penalty)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda p: L1([p], -1), "L1 expects strength to be a finite number of at least 0, got -1"),
        (lambda p: L2([p], np.nan), "L2 expects strength"),
        (lambda p: L2([p], "0.1"), "L2 expects strength"),
        (lambda p: ElasticNet([p], 1, 1.5), "ElasticNet expects l1_ratio.*at most 1, got 1.5"),
        (lambda p: L1(npnet.Linear(2, 2), 1), r"pass model.parameters\(\)"),
        (lambda p: L1([np.ones(2)], 1), "npnet.Parameter objects"),
        (lambda p: L1([], 1), "no parameters"),
        (lambda p: L1([p]), r"it takes \(parameters, strength\)"),
        (lambda p: setattr(L1([p], 1), "strength", None), "L1 expects strength"),
    ],
)
def test_mistakes_are_answered(call, sentence):
    with pytest.raises(ArgumentError, match=sentence):
        call(npnet.Parameter([1.0, 2.0]))


def test_typos_and_missing_methods():
    p = npnet.Parameter([1.0, 2.0])
    with pytest.raises(NameTypoError, match="did you mean 'strength'"):
        L1([p], 1).strenght = 2
    with pytest.raises(MissingMethod, match="value"):
        Penalty([p], 1)()
    with pytest.raises(MissingMethod, match="slope"):
        Penalty([p], 1).backward()


def test_a_training_with_a_penalty_has_smaller_weights(rng):
    x = rng.normal(size=(64, 5))
    y = x[:, :1] + 0.1 * rng.normal(size=(64, 1))
    norms = []
    for strength in (0.0, 0.05):
        layer = npnet.Linear(5, 1, dtype=np.float64, rng=0)
        optimizer, loss = npnet.optim.SGD(layer.parameters(), lr=0.05), npnet.MSELoss()
        penalty = L1([layer.weight], strength)
        for _ in range(300):
            pred, tape = layer.record(x)
            tape.backward(loss.value_and_grad(pred, y)[1])
            penalty.backward()
            optimizer.step()
            optimizer.zero_grad()
        norms.append(np.abs(layer.weight.data[0, 1:]).sum())
    assert norms[1] < 0.5 * norms[0]
