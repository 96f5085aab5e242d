"""Optimizer states that are not what they should be: refused, and nothing is changed."""

import copy
import math

import numpy as np
import pytest

import npnet
from npnet.errors import StateError


def trained(make):
    ps = [npnet.Parameter(np.ones(s)) for s in [(2, 3), (4,)]]
    optimizer = make(ps)
    for _ in range(3):
        for p in ps:
            p.grad = np.full(p.shape, 0.5)
        optimizer.step()
    return ps, optimizer


def adam(ps):
    return npnet.optim.Adam([{"params": ps[:1]}, {"params": ps[1:]}], lr=0.1, amsgrad=True)


def put(*path):
    """Return what puts a value at a place in a state."""
    *above, last = path

    def change(state, value):
        for key in above:
            state = state[key]
        state[last] = value

    return change


def rename(state, value):
    state["state"][value] = state["state"].pop(1)


NOT_A_DICT = [None, 3, "state", [1, 2], np.zeros(3), dict]
NOT_A_COUNT = [None, -1, 0.5, math.inf, math.nan, "3", 10**400, True, [3], np.zeros(2), int]
NOT_A_VECTOR = [
    None, "moment", 1.0, [], [[1.0, 2.0], [3.0]], np.full(4, 1j), np.array(list("abcd")),
    np.array([1.0, np.nan, 1.0, 1.0]), np.array([1.0, np.inf, 1.0, 1.0]), np.ones(3),
    np.ones((4, 1)), [None] * 4, [10**400] * 4, np.ones(4, bool), np.ma.masked_array(np.ones(4)),
    np.ones, {"a": 1},
]  # fmt: skip
BAD = [
    *((put("state"), bad) for bad in NOT_A_DICT),
    *((put("state", 1), bad) for bad in NOT_A_DICT),
    *((put("param_groups"), bad) for bad in [None, 3, "ab", {}, [], [{}], [{}, {}], [None, None]]),
    *((put("param_groups", 1), bad) for bad in NOT_A_DICT),
    *((put("step_count"), bad) for bad in [*NOT_A_COUNT, 1.0]),
    *((put("state", 1, "step"), bad) for bad in NOT_A_COUNT),
    *((put("state", 1, "exp_avg"), bad) for bad in NOT_A_VECTOR),
    *((put("state", 1, "exp_avg_sq"), bad) for bad in [*NOT_A_VECTOR, np.full(4, -1e-9)]),
    *((put("state", 1, "max_exp_avg_sq"), bad) for bad in [None, np.full(4, -1.0)]),
    (put("state", 1, "exp_agv"), np.ones(4)),
    *((rename, bad) for bad in [2, -1, "1", None, 1.5, (1,)]),
    (put("else"), {}),
    *((put("param_groups", 1, "params"), bad) for bad in [None, [], [0], ["1"], [-1], [1, 2], "1"]),
    *((put("param_groups", 1, "lr"), bad) for bad in [None, "0.1", -1, math.nan, abs, np.ones(2)]),
    *((put("param_groups", 1, "eps"), bad) for bad in [None, "0.1", -1, math.inf, [1]]),
    *((put("param_groups", 1, "betas"), bad) for bad in [None, 0.9, (0.9,), (0.9, 1.0), "ab"]),
    *((put("param_groups", 1, "amsgrad"), bad) for bad in [None, "no", 1, np.ones(2)]),
    (put("param_groups", 1, "learning_rate"), 0.1),
]


def test_what_is_no_state_is_refused_and_changes_nothing():
    ps, optimizer = trained(adam)
    good = optimizer.state_dict()
    values = [p.data.copy() for p in ps]
    for change, value in BAD:
        state = copy.deepcopy(good)
        state["state"][0]["exp_avg"] += 1  # good, but not to be taken over
        state["param_groups"][0]["lr"] = 0.7
        change(state, value)
        with pytest.raises(StateError, match="does not fit Adam"):
            optimizer.load_state_dict(state)
        np.testing.assert_equal(optimizer.state_dict(), good)
        np.testing.assert_equal([p.data for p in ps], values)
    for bad in NOT_A_DICT:
        with pytest.raises(StateError, match="does not fit Adam"):
            optimizer.load_state_dict(bad)
    assert len(BAD) > 100


@pytest.mark.parametrize("key", ["state", "param_groups", "step_count"])
def test_a_missing_part(key):
    _, optimizer = trained(adam)
    state = optimizer.state_dict()
    del state[key]
    with pytest.raises(StateError, match=f"lacks '{key}'"):
        optimizer.load_state_dict(state)


@pytest.mark.parametrize("key", ["step", "exp_avg", "exp_avg_sq"])
def test_a_missing_moment(key):
    _, optimizer = trained(adam)
    state = optimizer.state_dict()
    del state["state"][1][key]
    with pytest.raises(StateError, match=f"the state of parameter 1 lacks '{key}'"):
        optimizer.load_state_dict(state)


def test_one_error_tells_all():
    _, optimizer = trained(adam)
    state = optimizer.state_dict()
    state["step_count"] = -1
    with pytest.raises(StateError) as error:
        optimizer.load_state_dict(state | {"state": 3})
    assert len(str(error.value).splitlines()) == 3
    state = optimizer.state_dict()
    state["param_groups"][0]["eps"] = -1
    state["state"][0]["step"] = math.inf
    state["state"][0]["exp_avg"] = None
    state["state"][1]["exp_avg_sq"] = np.full(4, -1.0)
    del state["state"][1]["exp_avg"]
    state["state"][5] = {}
    with pytest.raises(StateError) as error:
        optimizer.load_state_dict(state)
    lines = str(error.value).splitlines()
    assert lines[0] == "the state does not fit Adam:"
    for line, part in zip(
        lines[1:],
        [
            "eps to be a finite number of at least 0, got -1",
            "step of parameter 0",
            "exp_avg of parameter 0",
            "the state of parameter 1 lacks 'exp_avg'",
            "exp_avg_sq of parameter 1 is negative somewhere",
            "there is no parameter 5",
        ],
        strict=True,
    ):
        assert part in line


def test_a_number_given_twice():
    optimizer = npnet.optim.SGD([{"params": [npnet.Parameter([1.0])]} for _ in range(2)])
    state = optimizer.state_dict()
    state["param_groups"][1]["params"] = [0]
    with pytest.raises(StateError, match="parameter 0 is there twice"):
        optimizer.load_state_dict(state)


def test_a_schedule_goes_on():
    (p, q), optimizer = trained(lambda ps: npnet.optim.SGD(ps, lr=lambda step: 0.5**step))
    other = npnet.optim.SGD([npnet.Parameter(p.data), npnet.Parameter(q.data)], lr=abs)
    other.load_state_dict(optimizer.state_dict())
    assert other.lr == 3
    assert other.param_groups[0]["lr"] is abs


def test_numbers_of_a_rule_are_checked():
    _, optimizer = trained(lambda ps: npnet.optim.NAdam(ps))
    good = optimizer.state_dict()
    for bad in [None, "1", math.nan, math.inf, 1j, [1.0], np.ones(2), True]:
        state = copy.deepcopy(good)
        state["state"][0]["mu_product"] = bad
        with pytest.raises(StateError, match="mu_product of parameter 0"):
            optimizer.load_state_dict(state)
    np.testing.assert_equal(optimizer.state_dict(), good)


def test_a_state_of_pytorch_continues():
    torch = pytest.importorskip("torch")
    t = torch.nn.Parameter(torch.tensor([1.0, 2.0], dtype=torch.float64))
    reference = torch.optim.Adam([t], lr=0.1)
    for _ in range(3):
        t.grad = torch.tensor([0.5, -0.5], dtype=torch.float64)
        reference.step()
    p = npnet.Parameter(t.detach().numpy())
    optimizer = npnet.optim.Adam([p])
    state = optimizer.state_dict()
    saved = reference.state_dict()
    state["state"] = {k: {n: v.numpy() for n, v in e.items()} for k, e in saved["state"].items()}
    state["param_groups"][0].update(
        {k: v for k, v in saved["param_groups"][0].items() if k in state["param_groups"][0]}
    )
    optimizer.load_state_dict(state | {"step_count": 3})
    t.grad = torch.tensor([1.0, 1.0], dtype=torch.float64)
    p.grad = np.ones(2)
    optimizer.step()
    reference.step()
    np.testing.assert_allclose(p.data, t.detach().numpy(), rtol=1e-14)


def test_what_was_switched_off_is_kept():
    (p, q), optimizer = trained(lambda ps: npnet.optim.SGD(ps, lr=0.1, momentum=0.9))
    optimizer.param_groups[0]["momentum"] = 0.0
    state = optimizer.state_dict()
    assert "momentum_buffer" in state["state"][0]
    ps = [npnet.Parameter(p.data), npnet.Parameter(q.data)]
    other = npnet.optim.SGD(ps)
    other.load_state_dict(state)
    for each in (optimizer, other):
        each.param_groups[0]["momentum"] = 0.9
    for a, b in zip((p, q), ps, strict=True):
        a.grad = b.grad = np.ones(a.shape)
    optimizer.step()
    other.step()
    for a, b in zip((p, q), ps, strict=True):
        np.testing.assert_array_equal(a.data, b.data)


def test_parameters_that_no_longer_fit_together_change_nothing():
    ps = [npnet.Parameter(np.ones(2)) for _ in range(3)]
    optimizer = npnet.optim.Adam([{"params": ps[:1]}, {"params": ps[1:]}], lr=0.1)
    state = optimizer.state_dict()
    state["param_groups"][0]["lr"] = 0.5
    ps[2].astype(np.float32)
    with pytest.raises(npnet.errors.DtypeError, match="one dtype"):
        optimizer.load_state_dict(state | {"step_count": 99})
    assert optimizer.step_count == 0
    assert optimizer.param_groups[0]["lr"] == 0.1
