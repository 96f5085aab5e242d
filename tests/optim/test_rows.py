"""Gradients of some rows: what is written, what is stepped, and what PyTorch does."""

import copy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import npnet
from npnet.errors import ArgumentError, ShapeError
from npnet.ops import scatter
from npnet.store import FlatStore, flat_grads


def added(shape, index, values):
    """Return the sum of rows by a loop."""
    total = np.zeros(shape)
    for i, row in zip(index, values, strict=True):
        total[i] += row
    return total


@pytest.mark.parametrize("rows", [1, 5, 2**40])
@given(seed=st.integers(0, 2**32 - 1), m=st.integers(0, 40))
def test_sums_of_rows_are_those_of_a_loop(rows, seed, m):
    rng = np.random.default_rng(seed)
    index = rng.integers(0, rows, m)
    order, found = scatter._sorted(index)
    np.testing.assert_array_equal(order, np.argsort(index, kind="stable"))
    np.testing.assert_array_equal(found, np.sort(index))
    np.testing.assert_array_equal(scatter.unique(index), np.unique(index))
    if rows < 10:
        values, table = rng.normal(size=(m, 3)), np.ones((rows, 3))
        npnet.ops.kernels.families["npnet.ops.scatter"].numpy["add_at"](table, index, values)
        np.testing.assert_allclose(table, 1 + added((rows, 3), index, values), atol=1e-14)


@pytest.mark.parametrize("stored", [False, True])
def test_rows_are_added_noted_and_cleared(stored, rng):
    p = npnet.Parameter(np.zeros((6, 2, 3)))
    store = FlatStore([npnet.Parameter(np.zeros(2)), p]) if stored else None
    for index in ([3, 1, 3], [0], [], [5, 5, 4]):
        values = rng.normal(size=(len(index), 2, 3))
        kept = values.copy()
        p.add_rows(np.array(index, int), values)
        np.testing.assert_array_equal(values, kept)
        np.testing.assert_allclose(p._grad, added(p.shape, index, values), atol=1e-14)
        assert p.grad_rows.tolist() == sorted(set(index))
        more = rng.normal(size=(2, 2, 3))
        p.add_rows(np.array([2, 0]), more)
        both = added(p.shape, [*index, 2, 0], [*values, *more])
        np.testing.assert_allclose(p._grad, both, atol=1e-14)
        assert p.grad_rows.tolist() == sorted({*index, 2, 0})
        p.zero_grad()
        assert p.grad_rows is None
    del store


def test_only_touched_rows_are_cleared_unless_somebody_saw_the_gradient():
    p = npnet.Parameter(np.zeros((4, 2)))
    store = FlatStore([p])
    one = np.ones((1, 2))
    p.add_rows(np.array([1]), one)
    p.zero_grad()
    store.grad[:2] = 7.0  # row 0, which nobody may touch: it shows that it is not cleared again
    p.add_rows(np.array([2]), one)
    assert p._grad[:, 0].tolist() == [7, 0, 1, 0]
    p.grad[3] = 5.0  # by the property: all is cleared the next time
    p.zero_grad()
    p.add_rows(np.array([1]), one)
    assert p._grad[:, 0].tolist() == [0, 1, 0, 0]


def test_all_is_cleared_after_a_dense_gradient_or_an_optimizers_pass_over_it():
    p = npnet.Parameter(np.zeros((3, 1)))
    store = FlatStore([p])
    index, one = np.array([1]), np.ones((1, 1))

    def clipped():
        p.add_rows(index, one)
        flat_grads([p])[0][:] = np.nan

    for fill in (
        lambda: p.add_grad(np.ones((3, 1))),
        lambda: p.add_product(np.ones((3, 2)), np.ones((2, 1))),
        clipped,
    ):
        p.add_rows(index, one)
        p.zero_grad()
        fill()
        p.zero_grad()
        p.add_rows(index, one)
        assert store.grad.tolist() == [0, 1, 0]
        p.zero_grad()


def test_dense_and_sparse_together_are_dense():
    p = npnet.Parameter(np.zeros((3, 1)))
    index, one = np.array([1]), np.ones((1, 1))
    for first, second in ((True, False), (False, True)):
        p.add_rows(index, one, sparse=first)
        p.add_rows(index, one, sparse=second)
        assert p.grad.tolist() == [[0], [2], [0]]
        assert p.grad_rows is None
        p.zero_grad()
    p.add_rows(index, one)
    p.add_grad(np.ones((3, 1)))
    assert p.grad.tolist() == [[1], [2], [1]]
    assert p.grad_rows is None
    p.zero_grad()
    p.add_rows(index, one)
    p.add_product(np.ones((3, 2)), np.ones((2, 1)))
    assert p.grad.tolist() == [[2], [3], [2]]
    assert p.grad_rows is None


def test_rows_survive_copies_conversions_and_a_store():
    p = npnet.Parameter(np.zeros((4, 2)))
    p.add_rows(np.array([2, 0]), np.ones((2, 2)))
    twin = copy.deepcopy(p)
    FlatStore([p])
    p.astype(np.float32)
    for each in (p, twin):
        assert each.grad_rows.tolist() == [0, 2]
        assert each.grad[:, 1].tolist() == [1, 0, 1, 0]
    p.requires_grad_(False).add_rows(np.array([1]), np.ones((1, 2), np.float32))
    assert p.grad is None or p.grad[1, 0] == 0


def test_rows_of_another_shape_are_refused():
    p = npnet.Parameter(np.zeros((4, 2)))
    for index, values in (([1], (1, 3)), ([1, 2], (1, 2)), ([1], (2,))):
        with pytest.raises(ShapeError, match="rows of shape"):
            p.add_rows(np.array(index), np.ones(values))
    assert p.grad is None
    with pytest.raises(ShapeError):
        npnet.Parameter(1.0).add_rows(np.array([0]), np.ones(1))


# --- steps

INDEX = [[0, 3, 3], [1], [3, 1, 0, 5], [], [5, 2]]


def stepped(make, steps, dtype=np.float64):
    """Return two parameters after some steps, the first with rows, and the optimizer."""
    rng = np.random.default_rng(1)
    table = npnet.Parameter(rng.normal(size=(7, 2)), dtype)
    other = npnet.Parameter(rng.normal(size=3), dtype)
    optimizer = make([other, table])
    for i in range(steps):
        index = np.array(INDEX[i % len(INDEX)], int)
        table.add_rows(index, rng.normal(size=(len(index), 2)))
        other.add_grad(rng.normal(size=3))
        optimizer.step()
        optimizer.zero_grad()
    return table.data, other.data, optimizer


@pytest.mark.parametrize("options", [
    {}, {"maximize": True}, {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True},
    {"momentum": 0.9, "dampening": 0.3},
])  # fmt: skip
def test_sgd_against_torch(options):
    torch = pytest.importorskip("torch", reason="needs the oracle: pip install torch")
    table, other, _ = stepped(lambda p: npnet.optim.SGD(p, lr=0.1, **options), 12)
    rng = np.random.default_rng(1)
    t = torch.nn.Parameter(torch.from_numpy(rng.normal(size=(7, 2))))
    o = torch.nn.Parameter(torch.from_numpy(rng.normal(size=3)))
    reference = torch.optim.SGD([o, t], lr=0.1, **options)
    for i in range(12):
        index = INDEX[i % len(INDEX)]
        values = torch.from_numpy(rng.normal(size=(len(index), 2)))
        t.grad = torch.sparse_coo_tensor(
            torch.tensor([index]).long(), values, (7, 2), check_invariants=True
        )
        o.grad = torch.from_numpy(rng.normal(size=3))
        reference.step()
    np.testing.assert_allclose(table, t.detach().numpy(), rtol=1e-12)
    np.testing.assert_allclose(other, o.detach().numpy(), rtol=1e-12)


def test_a_row_without_gradient_stays_as_it_is_whatever_its_values():
    p = npnet.Parameter(np.array([[np.nan], [1.0], [np.inf]]))
    optimizer = npnet.optim.SGD([p], lr=0.5)
    p.add_rows(np.array([1]), np.array([[1.0]]))
    p._grad[2] = np.inf  # what lies outside the rows is not read
    optimizer.step()
    np.testing.assert_array_equal(p.data, [[np.nan], [0.5], [np.inf]])


def test_state_of_rows_moves_to_another_optimizer_and_back_to_dense_gradients():
    class Sums(npnet.optim.Optimizer):
        takes_rows = True
        state_spec = {"sum": npnet.optim.StateSpec()}  # noqa: RUF012

        def __init__(self, params, lr=0.1):
            super().__init__(params, {"lr": lr})

        def update(self, at, options):
            at.state["sum"] += at.grad
            at.data -= at.lr * at.state["sum"]

    table, other, optimizer = stepped(Sums, 5)
    state = optimizer.state_dict()["state"]
    rng = np.random.default_rng(1)
    data, _ = rng.normal(size=(7, 2)), rng.normal(size=3)
    total = np.zeros_like(data)
    for index in INDEX:
        total += added(total.shape, index, rng.normal(size=(len(index), 2)))
        rows = sorted(set(index))
        data[rows] -= 0.1 * total[rows]
        rng.normal(size=3)
    np.testing.assert_allclose(table, data, rtol=1e-13)
    np.testing.assert_allclose(state[1]["sum"].reshape(7, 2), total, atol=1e-14)
    p = optimizer.parameters[1]
    p.add_grad(np.zeros((7, 2)))
    optimizer.step()  # of all rows, and of one parameter alone
    np.testing.assert_allclose(p.data, data - 0.1 * total, rtol=1e-13)


def test_optimizers_that_cannot_step_rows_say_so():
    for make, match in (
        (npnet.optim.Adam, "Adam takes no sparse gradients"),
        (lambda p: npnet.optim.SGD(p, weight_decay=0.1), "weight_decay"),
        (lambda p: npnet.optim.SGD(p, weight_decay=0.1, momentum=0.9), "weight_decay"),
    ):
        p, q = npnet.Parameter(np.ones((3, 1))), npnet.Parameter(np.ones(2))
        optimizer = make([q, p])
        p.add_rows(np.array([1]), np.ones((1, 1), np.float32))
        q.add_grad(np.ones(2))
        with pytest.raises(ArgumentError, match=match):
            optimizer.step()
        assert (p.data == 1).all()
        assert (q.data == 1).all()
        assert optimizer.step_count == 0
