"""Sparse matrices: as inputs of Linear, DataLoader, splits and Trainer, and as one-hot targets."""

import tracemalloc
import warnings

import numpy as np
import pytest

import npnet
from npnet.data import DataLoader, train_test_split
from npnet.errors import DtypeError, NpnetError, ShapeError, TargetError

sparse = pytest.importorskip("scipy.sparse", reason="SciPy is not installed")

KINDS = [sparse.csr_matrix, sparse.csr_array]


def data(rng, rows=40, columns=30, dtype=np.float64, density=0.1):
    """Return a matrix with few entries, as an array; one row and one column are empty."""
    x = rng.normal(size=(rows, columns)) * (rng.random((rows, columns)) < density)
    x[rows // 2], x[:, columns // 2] = 0, 0
    return x.astype(dtype)


def run(model, x, y):
    model.zero_grad()
    pred, tape = model.record(x, rng=0)
    value, grad = npnet.CrossEntropyLoss().value_and_grad(pred, y)
    dx = tape.backward(grad, input_grad=True)
    return pred, dx, {name: p.grad for name, p in model.named_parameters()}


def models():
    yield npnet.Linear(30, 3, dtype=np.float64)
    yield npnet.Linear(30, 3, bias=False, dtype=np.float64)
    chain = npnet.Sequential(npnet.Linear(30, 8), npnet.ReLU(), npnet.Linear(8, 3))
    yield chain.astype(np.float64)
    yield npnet.Sequential(chain).astype(np.float64)


@pytest.mark.parametrize("kind", KINDS)
def test_outputs_and_gradients_are_those_of_the_array(kind, rng):
    x, y = data(rng), rng.integers(0, 3, 40)
    for model in models():
        expected, _, grads = run(model, x, y)
        grads = {name: grad.copy() for name, grad in grads.items()}
        pred, dx, found = run(model, kind(x), y)
        assert dx is None
        assert type(pred) is np.ndarray
        np.testing.assert_allclose(pred, expected, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(model(kind(x)), expected, rtol=1e-12, atol=1e-14)
        for name, grad in grads.items():
            np.testing.assert_allclose(found[name], grad, rtol=1e-12, atol=1e-14)


def test_gradients_add_up_and_nothing_is_changed(rng):
    x = sparse.csr_array(data(rng))
    for array in (x.data, x.indices, x.indptr):
        array.flags.writeable = False
    layer = npnet.Linear(30, 2, dtype=np.float64)
    passes = [layer.record(x[:25]), layer.record(x[25:])]
    for y, tape in passes:
        tape.backward(np.ones_like(y))
    expected = np.ones((2, 40)) @ x.toarray()
    np.testing.assert_allclose(layer.weight.grad, expected, rtol=1e-12, atol=1e-14)
    ctx = npnet.Context(layer, True, True)
    assert ctx.backward(np.ones_like(ctx.run(x))) is None  # nor is it computed
    layer.weight.requires_grad_(False)
    layer.zero_grad()
    y, tape = layer.record(x)
    tape.backward(np.ones_like(y))
    np.testing.assert_allclose(layer.bias.grad, [40, 40])


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int8, bool])
def test_the_output_has_the_parameters_dtype(dtype, rng):
    x = data(rng).astype(dtype)
    layer = npnet.Linear(30, 2)
    y, tape = layer.record(sparse.csr_array(x))
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, layer(x), rtol=1e-5, atol=1e-6)
    tape.backward(np.ones_like(y))
    assert layer.weight.grad.dtype == np.float32

    class Inner(npnet.Layer):
        takes_sparse = True

        def __init__(self):
            super().__init__()
            self.double = npnet.Parameter(np.ones(1))
            self.linear = layer

        def forward(self, ctx, x):
            return ctx.call(self.linear, x)

    assert Inner()(sparse.csr_array(x)).dtype == np.float32


def test_an_empty_batch():
    layer = npnet.Linear(5, 2)
    y, tape = layer.record(sparse.csr_array((0, 5)))
    assert y.shape == (0, 2)
    tape.backward(y)
    assert not layer.weight.grad.any()


def test_entries_given_twice_are_added(rng):
    x = sparse.csr_array(([1.0, 2.0, 4.0], [1, 1, 0], [0, 3]), shape=(1, 2))
    layer = npnet.Linear(2, 1, dtype=np.float64)
    y, tape = layer.record(x)
    tape.backward([[1.0]])
    assert layer.weight.grad.tolist() == [[4, 3]]
    np.testing.assert_allclose(y, layer([[4.0, 3.0]]))


# --- batches


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shuffle", [False, True])
def test_batches_are_those_of_the_array(kind, shuffle, rng):
    x, y = data(rng), np.arange(40)
    loader = DataLoader((kind(x), y), batch_size=7, shuffle=shuffle, rng=1)
    expected = DataLoader((x, y), batch_size=7, shuffle=shuffle, rng=1)
    assert len(loader) == len(expected) == 6
    assert loader.n_samples == 40
    assert "(40, 30)" in repr(loader)
    for (xb, yb), (xe, ye) in zip(loader, expected, strict=True):
        assert type(xb) is kind
        np.testing.assert_array_equal(xb.toarray(), xe)
        np.testing.assert_array_equal(yb, ye)


def test_splits_are_those_of_the_array(rng):
    x, y = data(rng), rng.integers(0, 2, 40)
    for options in ({"rng": 0}, {"rng": 0, "stratify": y}, {"shuffle": False}):
        found = train_test_split(sparse.csr_array(x), y, **options)
        for a, b in zip(found, train_test_split(x, y, **options), strict=True):
            np.testing.assert_array_equal(a.toarray() if sparse.issparse(a) else a, b)


@pytest.mark.parametrize("kind", KINDS)
def test_training_is_that_on_the_array(kind, rng):
    x, y = data(rng, 60), rng.integers(0, 3, 60)
    one_hot = npnet.data.one_hot(y, 3)
    results = []
    for given, target in ((x, y), (kind(x), y), (kind(x), kind(one_hot))):
        npnet.manual_seed(0)
        model = npnet.Sequential(npnet.Linear(30, 8), npnet.ReLU(), npnet.Linear(8, 3))
        model.astype(np.float64)
        optimizer = npnet.optim.Adam(model.parameters(), lr=0.01)
        trainer = npnet.Trainer(model, npnet.CrossEntropyLoss(), optimizer, metrics=["accuracy"])
        history = trainer.fit(given, target, epochs=3, batch_size=16, validation_split=0.2, rng=0,
                              progress=False)  # fmt: skip
        trainer.fit(DataLoader((given, target), 16), epochs=1, progress=False,
                    validation_data=(given, target))  # fmt: skip
        scores = trainer.evaluate(given, target)
        results.append([*history["loss"], *history["val_accuracy"], *scores.values(),
                        *trainer.predict(given, batch_size=7).ravel()])  # fmt: skip
    np.testing.assert_allclose(results[1], results[0], rtol=1e-9)
    np.testing.assert_allclose(results[2], results[0], rtol=1e-9)


def test_training_makes_no_dense_copy(rng):
    rows, columns = 20_000, 5_000  # 400 MB as an array
    index = np.sort(rng.integers(0, columns, (rows, 5)))
    ends = np.arange(0, index.size + 1, 5)
    x = sparse.csr_array((np.ones(index.size, np.float32), index.ravel(), ends), (rows, columns))
    y = rng.integers(0, 2, rows)
    model = npnet.Linear(columns, 2)
    trainer = npnet.Trainer(
        model, npnet.CrossEntropyLoss(), npnet.optim.SGD(model.parameters(), lr=0.1)
    )
    tracemalloc.start()
    trainer.fit(x, y, epochs=1, batch_size=100, progress=False)
    trainer.predict(x)
    train_test_split(x, y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10e6


def test_data_that_is_not_finite_is_found(rng):
    x = data(rng)
    x[7, 3] = np.inf
    model = npnet.Linear(30, 2)
    trainer = npnet.Trainer(
        model, npnet.CrossEntropyLoss(), npnet.optim.SGD(model.parameters(), lr=0.1)
    )
    with warnings.catch_warnings(record=True) as caught, np.errstate(all="ignore"):
        warnings.simplefilter("always")
        trainer.evaluate(sparse.csr_array(x), np.zeros(40, int))
    assert any("x[7, 3] is inf" in str(w.message) for w in caught)


# --- one-hot rows as targets


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", [
    {}, {"weight": [0.5, 2.0, 1.0]}, {"label_smoothing": 0.2}, {"ignore_index": 1},
    {"weight": [0.5, 2.0, 1.0], "label_smoothing": 0.2},
])  # fmt: skip
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_the_loss_is_that_of_the_array_and_of_torch(kind, options, reduction, rng):
    options = dict(options)
    torch = pytest.importorskip("torch", reason="needs the oracle: pip install torch")
    pred, rows = rng.normal(size=(9, 3)), np.eye(3)[rng.integers(0, 3, 9)]
    loss = npnet.CrossEntropyLoss(**options, reduction=reduction)
    value, grad = loss.value_and_grad(pred, kind(rows))
    weighted = loss.value_and_grad(pred, kind(rows), sample_weight=np.arange(9.0))
    for a, b in zip(weighted, loss.value_and_grad(pred, rows, sample_weight=np.arange(9.0)),
                    strict=True):  # fmt: skip
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-15)
    if "weight" in options:
        options = options | {"weight": torch.tensor(options["weight"], dtype=torch.float64)}
    options.pop("ignore_index", None)  # PyTorch has it for labels alone
    t = torch.from_numpy(pred).requires_grad_()
    expected = torch.nn.CrossEntropyLoss(**options, reduction=reduction)(t, torch.from_numpy(rows))
    expected.sum().backward()
    np.testing.assert_allclose(value, expected.detach().numpy(), rtol=1e-12)
    np.testing.assert_allclose(grad, t.grad.numpy(), rtol=1e-12, atol=1e-15)


def test_stored_zeros_and_parts_of_one_are_added_up():
    rows = sparse.csr_array(([0.0, 1.0, 0.5, 0.5], [0, 1, 2, 2], [0, 2, 4]), shape=(2, 3))
    pred = [[0.0, 1.0, 2.0], [2.0, 0.0, 1.0]]
    assert npnet.CrossEntropyLoss()(pred, rows) == npnet.CrossEntropyLoss()(pred, [1, 2])
    assert rows.nnz == 4


@pytest.mark.parametrize(("rows", "match"), [
    ([[0, 1, 1], [1, 0, 0]], "2 entries in row 0"),
    ([[0, 1, 0], [0, 0, 0]], "0 entries in row 1"),
    ([[0, 1, 0], [0, 0.5, 0]], "got 0.5 in row 1"),
    ([[0, 1, 0], [0, 0, -1]], "got -1.0 in row 1"),
    ([[0, 1, 0], [0, np.nan, 0]], "got nan in row 1"),
])  # fmt: skip
def test_rows_that_are_not_one_hot_are_refused(rows, match):
    with pytest.raises(TargetError, match=match):
        npnet.CrossEntropyLoss()(np.zeros((2, 3)), sparse.csr_array(np.array(rows, float)))


# --- mistakes

CSR = sparse.csr_array(np.eye(3))


@pytest.mark.parametrize(("call", "error", "match"), [
    (lambda: npnet.Linear(3, 2)(CSR.tocsc()), DtypeError, r"got csc; .tocsr\(\)"),
    (lambda: npnet.Linear(3, 2)(CSR.tocoo()), DtypeError, r"got coo; .tocsr\(\)"),
    (lambda: npnet.Linear(3, 2)(CSR * 1j), DtypeError, "complex"),
    (lambda: npnet.Linear(4, 2)(CSR), ShapeError, r"\(\.\.\., 4\), got \(3, 3\)"),
    (lambda: npnet.ReLU()(CSR), DtypeError, "toarray"),
    (lambda: npnet.Sequential(npnet.ReLU(), npnet.Linear(3, 2))(CSR), DtypeError, "toarray"),
    (lambda: DataLoader(CSR.tocsc()), DtypeError, "tocsr"),
    (lambda: DataLoader((CSR, np.arange(4))), NpnetError, "same number"),
    (lambda: npnet.MSELoss()(np.eye(3), CSR), DtypeError, "toarray"),
    (lambda: npnet.NLLLoss()(np.eye(3), CSR), DtypeError, "toarray"),
    (lambda: npnet.CrossEntropyLoss()(CSR, [0, 1, 2]), DtypeError, "toarray"),
    (lambda: npnet.CrossEntropyLoss()(np.zeros((3, 4)), CSR), ShapeError, r"\(3, 4\)"),
    (lambda: npnet.CrossEntropyLoss()(np.zeros((3, 3)), CSR.tocoo()), DtypeError, "tocsr"),
])  # fmt: skip
def test_mistakes_are_named(call, error, match):
    with pytest.raises(error, match=match):
        call()


def test_a_sparse_matrix_alone_is_no_loader():
    model = npnet.Linear(3, 2)
    trainer = npnet.Trainer(
        model, npnet.CrossEntropyLoss(), npnet.optim.SGD(model.parameters(), lr=0.1)
    )
    with pytest.raises(NpnetError, match="y=None and x of type csr_array"):
        trainer.fit(CSR)
