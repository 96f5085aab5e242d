"""Constraints after each step, by the formulas of Keras and number by number."""

import numpy as np
import pytest

import npnet
from npnet.constraints import Constraint, MaxNorm, NonNegative
from npnet.errors import ArgumentError, MissingMethod, ShapeError


def naive_max_norm(w, most, axes):
    out = np.empty_like(w)
    for place in np.ndindex(w.shape):
        vector = tuple(slice(None) if i in axes else k for i, k in enumerate(place))
        norm = float((w[vector] ** 2).sum()) ** 0.5
        out[place] = w[place] * min(norm, most) / (norm + 1e-7)
    return out


@pytest.mark.parametrize(
    ("shape", "axis"),
    [((4, 3), 0), ((4, 3), 1), ((4, 3), -1), ((5,), 0), ((2, 3, 4), (1, 2)), ((2, 3, 4), (0, -1))],
)
@pytest.mark.parametrize("most", [0.0, 0.5, 2.0, 100.0])
def test_max_norm(shape, axis, most, rng):
    w = rng.normal(size=shape)
    w[0] = 0
    axes = {a % len(shape) for a in (axis if isinstance(axis, tuple) else (axis,))}
    before = w.copy()
    got = MaxNorm(most, axis)(w)
    np.testing.assert_allclose(got, naive_max_norm(w, most, axes), rtol=1e-12)
    np.testing.assert_array_equal(w, before)


def test_max_norm_of_extreme_numbers():
    w = np.array([[3e200, 4e200], [3e-200, 4e-200], [np.nan, 1.0]])
    got = MaxNorm(1.0, axis=1)(w)
    np.testing.assert_allclose(got[0], [0.6, 0.8])
    assert (np.abs(got[1]) <= w[1]).all()
    assert np.isnan(got[2]).all()
    np.testing.assert_array_equal(MaxNorm(1.0)(np.array([np.inf, 1.0])), [np.nan, 0.0])
    single = MaxNorm(1.0, axis=1)(np.full((2, 3), 1e30, np.float32))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, 3**-0.5, rtol=1e-5)
    assert MaxNorm(1.0, axis=1)(np.empty((2, 0))).shape == (2, 0)


def test_non_negative():
    got = NonNegative()(np.array([-1.0, -0.0, 2.0, np.nan, -np.inf, np.inf]))
    np.testing.assert_array_equal(got, [0, 0, 2, np.nan, 0, np.inf])


@pytest.mark.parametrize("name", ["SGD", "Adam", "Rprop", "Lamb"])
def test_applied_after_each_step_to_each_parameter(name, rng):
    start = [rng.normal(size=s) for s in [(3, 2), (4, 2)]]
    ours, twins = ([npnet.Parameter(a) for a in start] for _ in range(2))
    constraints = [MaxNorm(0.5, axis=1), NonNegative()]
    mine = getattr(npnet.optim, name)(ours, lr=0.1, constraints=constraints)
    plain = getattr(npnet.optim, name)(twins, lr=0.1)
    for _ in range(10):
        for p, twin in zip(ours, twins, strict=True):
            twin.data = p.data
            p.grad = twin.grad = rng.normal(size=p.shape)
        mine.step()
        plain.step()
        for p, twin in zip(ours, twins, strict=True):
            np.testing.assert_array_equal(p.data, constraints[1](constraints[0](twin.data)))


def test_groups_have_their_own():
    a, b, frozen = (npnet.Parameter([-1.0]) for _ in range(3))
    frozen.requires_grad_(False)
    optimizer = npnet.optim.SGD(
        [{"params": [a, frozen], "constraints": NonNegative()}, {"params": [b]}], lr=0.0
    )
    a.grad = b.grad = [0.0]
    optimizer.step()
    assert (a.data, b.data, frozen.data) == (0, -1, -1)
    assert "constraints=(NonNegative(),)" in repr(optimizer)
    state = optimizer.state_dict()
    assert "constraints" not in state["param_groups"][0]
    optimizer.load_state_dict(state)
    assert optimizer.param_groups[0]["constraints"] == (optimizer.groups[0].options["constraints"])
    optimizer.param_groups[1]["constraints"] = [NonNegative()]
    optimizer.step()
    assert b.data == 0


def test_mistakes():
    layer = npnet.Linear(3, 2)
    with pytest.raises(ArgumentError, match="add parentheses: NonNegative"):
        npnet.optim.SGD(layer.parameters(), constraints=NonNegative)
    with pytest.raises(ArgumentError, match=r"MaxNorm\(axis=1\) does not fit .* shape \(2,\)"):
        npnet.optim.SGD(layer.parameters(), constraints=MaxNorm(1, axis=1))
    for axes in ((0, 0), (0, 2), (0, -2, 1)):
        with pytest.raises(ArgumentError, match="does not fit"):
            npnet.optim.SGD([layer.weight], constraints=MaxNorm(1, axis=axes))
    for bad in ("max", 3, [None], [np.abs]):
        with pytest.raises(ArgumentError, match="constraint"):
            npnet.optim.SGD([layer.weight], constraints=bad)
    with pytest.raises(ArgumentError, match="max_value"):
        MaxNorm(-1)
    with pytest.raises(MissingMethod):
        Constraint()(np.ones(2))


@pytest.mark.parametrize("result", [None, 1.0, np.ones(3), "ab", np.array(["a", "b"])])
def test_what_is_returned_has_the_shape_of_the_parameter(result):
    class Wrong(Constraint):
        def __call__(self, w):
            return result

    p = npnet.Parameter([1.0, 2.0])
    p.grad = [0.0, 0.0]
    with pytest.raises(ShapeError, match=r"Wrong .* shape \(2,\)"):
        npnet.optim.SGD([p], constraints=Wrong()).step()
    assert p.data.tolist() == [1, 2]
