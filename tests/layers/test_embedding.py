"""Embedding and EmbeddingBag against PyTorch, with their options, and trained row by row."""

import numpy as np
import pytest

import npnet
from npnet.errors import ArgumentError, DtypeError, ShapeError, UnknownIndexError

ORDERS = [2.0, 1.0, 0.5, 3.0, np.inf]


def twins(kind, torch, rows, columns, **options):
    """Return the layer and PyTorch's with the same table."""
    ours = getattr(npnet, kind)(rows, columns, dtype=np.float64, **options)
    theirs = getattr(torch.nn, kind)(rows, columns, dtype=torch.float64, **options)
    theirs.load_state_dict({n: torch.from_numpy(v) for n, v in ours.state_dict().items()})
    return ours, theirs


def compare(ours, theirs, torch, rng, *inputs):
    """Compare one training pass: value, gradients and what became of the table."""
    tensors = [None if x is None else torch.from_numpy(x.copy()) for x in inputs]
    tensors = [t.requires_grad_() if t is not None and t.is_floating_point() else t
               for t in tensors]  # fmt: skip
    expected = theirs(*tensors)
    grad = rng.normal(size=tuple(expected.shape))
    expected.backward(torch.from_numpy(grad))
    y, tape = ours.record(*inputs)
    found = tape.backward(grad, input_grad=True)
    close = {"rtol": 1e-12, "atol": 1e-14}
    np.testing.assert_allclose(y, expected.detach().numpy(), **close)
    np.testing.assert_allclose(ours.weight.data, theirs.weight.detach().numpy(), **close)
    reference = theirs.weight.grad
    np.testing.assert_allclose(ours.weight.grad, reference.to_dense().numpy(), **close)
    if reference.is_sparse:
        occurred = reference.coalesce().indices().numpy().ravel()
        np.testing.assert_array_equal(ours.weight.grad_rows, occurred)
    if len(tensors) == 3 and tensors[2] is not None:
        np.testing.assert_allclose(found[2], tensors[2].grad.numpy(), **close)


@pytest.mark.parametrize("seed", range(60))
def test_random_embeddings_against_torch(seed):
    torch = pytest.importorskip("torch", reason="needs the oracle: pip install torch")
    rng = np.random.default_rng(seed)
    rows, sparse = int(rng.integers(1, 8)), bool(rng.random() < 0.3)
    npnet.manual_seed(seed)
    ours, theirs = twins(
        "Embedding", torch, rows, int(rng.integers(1, 4)), sparse=sparse,
        padding_idx=None if rng.random() < 0.5 else int(rng.integers(-rows, rows)),
        max_norm=None if rng.random() < 0.6 else 0.7, norm_type=ORDERS[seed % 5],
        scale_grad_by_freq=bool(rng.random() < 0.4) and not sparse,
    )  # fmt: skip
    shapes = [(3,), (2, 3), (0, 2), (2, 2, 2), ()]
    x = np.asarray(rng.integers(0, rows, shapes[rng.integers(5 - sparse)]))
    compare(ours, theirs, torch, rng, x)


@pytest.mark.parametrize("seed", range(120))
def test_random_bags_against_torch(seed):
    torch = pytest.importorskip("torch", reason="needs the oracle: pip install torch")
    rng = np.random.default_rng(seed)
    rows, mode = int(rng.integers(1, 8)), ("sum", "mean", "max")[seed % 3]
    m, bags, two = int(rng.integers(0, 9)), int(rng.integers(1, 4)), rng.random() < 0.4
    last = bool(rng.random() < 0.5) and not two
    npnet.manual_seed(seed)
    ours, theirs = twins(
        "EmbeddingBag", torch, rows, int(rng.integers(1, 4)), mode=mode,
        padding_idx=None if rng.random() < 0.5 else int(rng.integers(-rows, rows)),
        max_norm=None if rng.random() < 0.6 else 0.7, norm_type=ORDERS[seed % 5],
        sparse=bool(rng.random() < 0.3) and mode != "max", include_last_offset=last,
    )  # fmt: skip
    x = rng.integers(0, rows, (bags, m + 1) if two else m)
    offsets = None
    if not two:
        offsets = np.sort(rng.integers(0, m + 1, bags))
        offsets[0] = 0
        offsets = np.append(offsets, m) if last else offsets
    weights = rng.normal(size=x.shape) if mode == "sum" and rng.random() < 0.5 else None
    compare(ours, theirs, torch, rng, x, offsets, weights)


def test_the_gradient_of_a_row_is_divided_by_how_often_it_occurs():
    # By the formula: PyTorch's CPU loop takes the number of another row in such a case.
    x = np.array([[5, 5, 0], [5, 2, 2]])
    for mode, expected in (("sum", [1, 0, 1, 0, 0, 1]), ("mean", [1, 0, 1, 0, 0, 1])):
        bag = npnet.EmbeddingBag(6, 1, mode=mode, scale_grad_by_freq=True, dtype=np.float64)
        y, tape = bag.record(x)
        tape.backward(np.ones_like(y))
        share = np.array(expected) / (3 if mode == "mean" else 1)
        np.testing.assert_allclose(bag.weight.grad[:, 0], share, rtol=1e-15)


def test_rows_are_shortened_in_recorded_training_passes_alone():
    layer = npnet.Embedding.from_pretrained([[3.0, 4.0], [30.0, 40.0], [0.3, 0.4]], max_norm=1.0)
    before = layer.weight.data.copy()
    layer([0, 1])
    layer.record([0, 1], training=False)
    np.testing.assert_array_equal(layer.weight.data, before)
    y, _ = layer.record([0, 2])
    np.testing.assert_allclose(y, [[0.6, 0.8], [0.3, 0.4]], rtol=1e-6)
    np.testing.assert_allclose(layer.weight.data, [[0.6, 0.8], [30, 40], [0.3, 0.4]], rtol=1e-6)


def test_maxima_among_equals_and_nan():
    bag = npnet.EmbeddingBag.from_pretrained([[1.0], [1.0], [np.nan]], freeze=False, mode="max")
    y, tape = bag.record([[1, 0, 1], [0, 2, 2]])
    assert y[0] == 1
    assert np.isnan(y[1])
    tape.backward([[1.0], [10.0]])
    assert bag.weight.grad.tolist() == [[0], [1], [10]]


def test_a_table_is_copied_and_frozen():
    table = np.arange(6.0).reshape(3, 2)
    layer = npnet.Embedding.from_pretrained(table, padding_idx=0)
    table[:] = 0
    assert layer.weight.data[2].tolist() == [4, 5]
    assert layer.weight.dtype == np.float64
    assert not layer.trainable
    assert npnet.Embedding.from_pretrained(table, freeze=False).trainable
    y, tape = layer.record([1])
    tape.backward(np.ones_like(y))
    assert layer.weight.grad is None
    with pytest.raises(ShapeError):
        npnet.Embedding.from_pretrained([1.0, 2.0])


def test_a_chain_of_sparse_tables_steps_rows_that_occurred(rng):
    model = npnet.Sequential(npnet.EmbeddingBag(50, 4, sparse=True), npnet.Linear(4, 2))
    dense = npnet.Sequential(npnet.EmbeddingBag(50, 4), npnet.Linear(4, 2))
    dense.load_state_dict(model.state_dict())
    loss = npnet.CrossEntropyLoss()
    for one in (model, dense):
        optimizer = npnet.optim.SGD(one.parameters(), lr=0.5)
        trainer = npnet.Trainer(one, loss, optimizer)
        x = np.random.default_rng(3).integers(0, 20, (40, 5))
        trainer.fit(x, x[:, 0] % 2, epochs=3, batch_size=8, rng=0, progress=False)
    for name, value in model.state_dict().items():
        np.testing.assert_allclose(value, dense.state_dict()[name], rtol=1e-5, atol=1e-6)


def test_a_sparse_step_does_not_look_at_the_rest_of_a_large_table():
    layer = npnet.Embedding(1000, 8, sparse=True)
    optimizer = npnet.optim.SGD(layer.parameters(), lr=0.1)
    expected = layer.weight.data.copy()
    optimizer.groups[0].store.grad[:] = np.nan  # wherever anybody looks but at what occurred
    for index in ([3, 3, 7], [999], []):
        layer.weight._cleared_grad()[:] = np.nan
        y, tape = layer.record(np.array(index, int))
        layer.weight._grad_slice[index] = 0
        tape.backward(np.ones_like(y))
        optimizer.step()
        optimizer.zero_grad()
        np.subtract.at(expected, index, 0.1)
    np.testing.assert_allclose(layer.weight.data, expected, rtol=1e-5)


@pytest.mark.parametrize(("call", "error", "match"), [
    (lambda: npnet.Embedding(3, 2)([0.5]), DtypeError, "astype"),
    (lambda: npnet.Embedding(3, 2)([True]), DtypeError, "integers"),
    (lambda: npnet.Embedding(3, 2)([3]), UnknownIndexError, r"0 to 2, got 3 at input\[0\]"),
    (lambda: npnet.Embedding(3, 2)([[0, -1]]), UnknownIndexError, r"got -1 at input\[0, 1\]"),
    (lambda: npnet.Embedding(3, 2, padding_idx=3), ArgumentError, "padding_idx"),
    (lambda: npnet.Embedding(3, 2, max_norm=-1.0), ArgumentError, "max_norm"),
    (lambda: npnet.Embedding(3, 2, _weight=np.ones((3, 2))), ArgumentError, "from_pretrained"),
    (lambda: npnet.Embedding(3, 2, sparse=True, scale_grad_by_freq=True), ArgumentError, "sparse"),
    (lambda: npnet.EmbeddingBag(3, 2)([0, 1]), ShapeError, "offsets"),
    (lambda: npnet.EmbeddingBag(3, 2)([[0, 1]], [0]), ShapeError, "offsets"),
    (lambda: npnet.EmbeddingBag(3, 2)([0, 1], [0, 3]), ArgumentError, "ascend"),
    (lambda: npnet.EmbeddingBag(3, 2)([0, 1], [0, 2, 1]), ArgumentError, "ascend"),
    (lambda: npnet.EmbeddingBag(3, 2)([0, 1], [1]), ArgumentError, "ascend"),
    (lambda: npnet.EmbeddingBag(3, 2)([0, 1], [0.0]), DtypeError, "offsets"),
    (lambda: npnet.EmbeddingBag(3, 2)([0], [0], [1.0]), ArgumentError, "mode='sum'"),
    (lambda: npnet.EmbeddingBag(3, 2, mode="sum")([0, 1], [0], [1.0]), ShapeError, "weights"),
    (lambda: npnet.EmbeddingBag(3, 2, mode="max", sparse=True), ArgumentError, "sparse=False"),
    (lambda: npnet.EmbeddingBag(3, 2, include_last_offset=True)([0], []), DtypeError, "offsets"),
])  # fmt: skip
def test_mistakes_are_named(call, error, match):
    with pytest.raises(error, match=match):
        call()
