"""Frozen parameters, which are not in the flat vectors, against PyTorch."""

import copy

import numpy as np
import pytest

import npnet
from npnet.errors import DtypeError, TapeError
from npnet.store import FlatStore

SHAPES = [(2, 3), (4,), (1, 2), ()]
CASES = [
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.5, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.05, "amsgrad": True}),
    ("AdamW", {"lr": 0.05}),
]
PLANS = [
    {0: [1]},  # from the start
    {3: [1], 9: []},  # a pause
    {0: [0, 2], 4: [2], 7: [1, 3], 11: []},  # changing places
    {0: [0, 1, 2], 2: [0, 1, 3], 4: [3], 6: [], 8: [0]},
]


def set_frozen(parameters, frozen):
    for k, p in enumerate(parameters):
        p.requires_grad_(k not in frozen)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize(("name", "options"), CASES)
def test_like_pytorch(name, options, plan, groups, rng):
    torch = pytest.importorskip("torch")
    start = [rng.normal(size=s) for s in SHAPES]

    def cut(ps):
        return [{"params": ps[:2]}, {"params": ps[2:], "lr": 0.02}] if groups == 2 else ps

    ours = [npnet.Parameter(a) for a in start]
    theirs = [torch.nn.Parameter(torch.tensor(a)) for a in start]
    set_frozen(ours, plan.get(0, ())), set_frozen(theirs, plan.get(0, ()))
    mine = getattr(npnet.optim, name)(cut(ours), **options)
    reference = getattr(torch.optim, name)(cut(theirs), **options)
    for step in range(15):
        if step in plan:
            set_frozen(ours, plan[step]), set_frozen(theirs, plan[step])
        if step == 10:  # the numbers stay those of all parameters, frozen or not
            state = copy.deepcopy(mine.state_dict())
            frozen = [k for k, p in enumerate(ours) if not p.requires_grad]
            ours = [npnet.Parameter(p.data) for p in ours]
            set_frozen(ours, frozen)
            mine = getattr(npnet.optim, name)(cut(ours), **options)
            mine.load_state_dict(state)
        for p, t in zip(ours, theirs, strict=True):
            t.grad = None
            if p.requires_grad:
                g = rng.normal(size=p.shape)
                p.grad, t.grad = g, torch.tensor(g)
        mine.step()
        reference.step()
    for p, t in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(p.data, t.detach().numpy(), rtol=1e-12)
    expected, got = reference.state_dict(), mine.state_dict()
    assert [g["params"] for g in got["param_groups"]] == [
        g["params"] for g in expected["param_groups"]
    ]
    assert sorted(got["state"]) == sorted(expected["state"])
    for k, entry in got["state"].items():
        for key, value in expected["state"][k].items():
            np.testing.assert_allclose(entry[key], value.numpy(), rtol=1e-12)


def vectors(optimizer):
    """Count the numbers in gradients and state."""
    (group,) = optimizer.groups
    state = sum(v.size for at in group.slices for v in at.state.values())
    return group.store.data.size, group.store.grad.size, state


def test_what_is_frozen_costs_no_memory():
    a, b = npnet.Parameter(np.ones(3)), npnet.Parameter(np.ones(100)).requires_grad_(False)
    optimizer = npnet.optim.Adam([a, b])
    a.grad = np.ones(3)
    optimizer.step()
    assert vectors(optimizer) == (3, 3, 6)
    assert optimizer.state_dict()["state"].keys() == {0}
    b.requires_grad_(True)
    a.grad, b.grad = np.ones(3), np.ones(100)
    optimizer.step()
    assert vectors(optimizer) == (103, 103, 206)
    assert optimizer.state_dict()["state"][0]["step"] == 2
    assert optimizer.state_dict()["state"][1]["step"] == 1
    b.requires_grad_(False)
    a.grad = np.ones(3)
    optimizer.step()
    assert vectors(optimizer) == (3, 3, 6)
    assert b.data.base is None  # no view that keeps the vector of before


def test_what_is_frozen_never_changes():
    a, b = (npnet.Parameter(np.ones(3)) for _ in range(2))
    optimizer = npnet.optim.AdamW([a, b], lr=0.1, weight_decay=0.5)
    for frozen in (False, True):
        b.requires_grad_(not frozen)
        before = b.data.copy()
        a.grad = np.ones(3)
        if not frozen:
            b.grad = np.ones(3)
        optimizer.step()
        assert np.array_equal(b.data, before) == frozen


def test_all_frozen():
    a = npnet.Parameter(np.ones(3)).requires_grad_(False)
    optimizer = npnet.optim.SGD([a], lr=1.0)
    with pytest.raises(TapeError, match="no gradient; all parameters are frozen"):
        optimizer.step()
    a.requires_grad_(True)
    a.grad = np.ones(3)
    optimizer.step()
    assert a.data.tolist() == [0, 0, 0]


def test_a_frozen_parameter_may_have_another_dtype_until_it_thaws():
    a = npnet.Parameter([1.0])
    b = npnet.Parameter(np.ones(2)).requires_grad_(False)
    optimizer = npnet.optim.SGD([a, b], lr=1.0)
    a.grad = [0.5]
    optimizer.step()
    b.requires_grad_(True)
    with pytest.raises(DtypeError, match="float32, float64"):
        optimizer.step()
    assert a.data.tolist() == [0.5]


def test_the_gradient_of_a_parameter_just_thawed_is_clipped_and_forgotten():
    a, b = npnet.Parameter(np.zeros(1)), npnet.Parameter(np.zeros(1)).requires_grad_(False)
    optimizer = npnet.optim.SGD([a, b])
    b.requires_grad_(True)
    a.grad, b.grad = [3.0], [4.0]
    assert npnet.optim.clip_grad_norm([a, b], 1.0) == 5
    np.testing.assert_allclose([a.grad, b.grad], [[0.6], [0.8]], rtol=1e-6)
    optimizer.zero_grad()
    assert a.grad is b.grad is None


def test_numbers_of_an_optimizer_survive_a_pause(rng):
    torch = pytest.importorskip("torch")
    ours = [npnet.Parameter(np.ones(2)) for _ in range(2)]
    theirs = [torch.nn.Parameter(torch.ones(2, dtype=torch.float64)) for _ in range(2)]
    mine = npnet.optim.NAdam(ours, lr=0.1, betas=(0.5, 0.9))
    torch.set_default_dtype(torch.float64)  # in which PyTorch keeps the product
    reference = torch.optim.NAdam(theirs, lr=0.1, betas=(0.5, 0.9))
    for step in range(9):
        set_frozen(ours, [1] if 2 < step < 6 else [])
        for k, (p, t) in enumerate(zip(ours, theirs, strict=True)):
            g = rng.normal(size=2)
            due = p.requires_grad or k == 0
            p.grad, t.grad = (g, torch.tensor(g)) if due else (None, None)
        mine.step()
        reference.step()
    torch.set_default_dtype(torch.float32)
    for p, t in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(p.data, t.detach().numpy(), rtol=1e-12)


def test_a_store_has_no_place_for_what_is_frozen():
    a, b, c = (npnet.Parameter(np.full(2, float(i))) for i in range(3))
    b.requires_grad_(False)
    store = FlatStore([a, b, c])
    assert store.data.tolist() == [0, 0, 2, 2]
    assert store.slices == [slice(0, 2), slice(2, 4)]
    assert store.is_current()
    b.requires_grad_(True)
    assert not store.is_current()
    assert FlatStore.of([a, b, c]).data.tolist() == [0, 0, 1, 1, 2, 2]


def test_two_optimizers_may_share_a_frozen_parameter():
    a, b, shared = (npnet.Parameter(np.ones(1)) for _ in range(3))
    shared.requires_grad_(False)
    optimizers = [npnet.optim.SGD([p, shared], lr=1.0, momentum=0.5) for p in (a, b)]
    for _ in range(2):
        for p, optimizer in zip((a, b), optimizers, strict=True):
            p.grad = [1.0]
            optimizer.step()
    assert (a.data, b.data, shared.data) == (-1.5, -1.5, 1)
