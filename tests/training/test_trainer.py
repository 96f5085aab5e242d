import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import npnet
from npnet.data import DataLoader
from npnet.errors import ArgumentError, DataError, DtypeError, NameTypoError, ShapeError
from npnet.random import generator_at
from npnet.training import TerminateOnNaN, Trainer


def net(dtype=np.float32, dropout=0.0, seed=0):
    npnet.manual_seed(seed)
    return npnet.Sequential(
        npnet.Linear(3, 8), npnet.Tanh(), npnet.Dropout(dropout), npnet.Linear(8, 2)
    ).astype(dtype)


def make(model=None, loss=None, metrics=(), lr=0.1):
    model = net() if model is None else model
    loss = npnet.CrossEntropyLoss() if loss is None else loss
    return Trainer(model, loss, npnet.optim.SGD(model.parameters(), lr=lr), metrics)


def blobs(n=50, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3)).astype(np.float32)
    return x, (x[:, 0] > x[:, 1]).astype(int)


def weights(trainer):
    return np.concatenate([p.data.ravel() for p in trainer.model.parameters()])


# --- fit


def test_fit_is_the_explicit_loop():
    x, y = blobs()
    trainer = make(net(dropout=0.4))
    history = trainer.fit(x, y, epochs=3, batch_size=16, rng=5)

    model, loss_fn = net(dropout=0.4), npnet.CrossEntropyLoss()
    optimizer = npnet.optim.SGD(model.parameters(), lr=0.1)
    loader = DataLoader((x, y), batch_size=16, shuffle=True, rng=5)
    losses = []
    for epoch in 1, 2, 3:
        total = 0.0
        for step, (xb, yb) in enumerate(loader):
            logits, tape = model.record(xb, rng=generator_at(5, epoch, step))
            loss, grad = loss_fn.value_and_grad(logits, yb)
            tape.backward(grad)
            optimizer.step()
            optimizer.zero_grad()
            total += loss * len(yb)
        losses.append(total / 50)
    assert history["loss"] == pytest.approx(losses, rel=1e-12)
    for p, q in zip(trainer.model.parameters(), model.parameters(), strict=True):
        assert np.array_equal(p.data, q.data)


def test_fit_agrees_with_pytorch():
    torch = pytest.importorskip("torch")
    x, y = blobs()
    trainer = make(net(np.float64))
    theirs = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Tanh(), torch.nn.Identity(),
                                 torch.nn.Linear(8, 2)).double()  # fmt: skip
    theirs.load_state_dict({k: torch.tensor(v) for k, v in trainer.model.state_dict().items()})
    optimizer = torch.optim.SGD(theirs.parameters(), lr=0.1)
    history = trainer.fit(x, y, epochs=2, batch_size=20, shuffle=False, validation_split=0.2)
    tx, ty = torch.tensor(x, dtype=torch.float64), torch.tensor(y)
    for epoch in range(2):
        total = 0.0
        for rows in slice(0, 20), slice(20, 40):
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(theirs(tx[rows]), ty[rows])
            loss.backward()
            optimizer.step()
            total += loss.item() / 2
        with torch.no_grad():
            val_loss = torch.nn.functional.cross_entropy(theirs(tx[40:]), ty[40:]).item()
        assert history["loss"][epoch] == pytest.approx(total, rel=1e-12)
        assert history["val_loss"][epoch] == pytest.approx(val_loss, rel=1e-12)


def test_a_seed_repeats_a_training_bit_for_bit_and_another_does_not():
    x, y = blobs()
    results = []
    for rng in 7, 7, 8, np.random.default_rng(7), np.random.default_rng(7):
        trainer = make(net(dropout=0.3), metrics=["accuracy"])
        history = trainer.fit(x, y, epochs=2, batch_size=8, rng=rng)
        results.append((weights(trainer).tobytes(), dict(history)))
    assert results[0] == results[1] != results[2]
    assert results[3] == results[4] != results[0]


def test_without_rng_manual_seed_decides():
    x, y = blobs()
    results = []
    for seed in 1, 1, 2:
        trainer = make(net(dropout=0.3, seed=0))
        npnet.manual_seed(seed)
        trainer.fit(x, y)
        results.append(weights(trainer).tobytes())
    assert results[0] == results[1] != results[2]


def test_numpy_s_global_state_is_never_touched():
    x, y = blobs()
    before = np.random.get_state()[1].copy()
    make(net(dropout=0.3)).fit(x, y, validation_split=0.2)
    assert np.array_equal(before, np.random.get_state()[1])


def test_fitting_again_goes_on():
    x, y = blobs()
    at_once, in_parts = make(net(dropout=0.3)), make(net(dropout=0.3))
    first = in_parts.fit(x, y, epochs=2, rng=0)
    second = in_parts.fit(x, y, epochs=1, rng=0)
    whole = at_once.fit(x, y, epochs=3, rng=0)
    assert first is second is in_parts.history
    assert second["epoch"] == [1, 2, 3]
    assert dict(second) == dict(whole)
    assert np.array_equal(weights(at_once), weights(in_parts))


def test_an_epoch_without_validation_has_nan():
    x, y = blobs()
    trainer = make()
    trainer.fit(x, y)
    history = trainer.fit(x, y, validation_split=0.5)
    trainer.fit(x, y)
    assert [math.isnan(v) for v in history["val_loss"]] == [True, False, True]
    assert all(len(column) == 3 for column in history.values())


def test_the_columns_of_the_history():
    x, y = blobs()
    trainer = make(metrics=["accuracy"])
    history = trainer.fit(x, y, validation_data=(x, y))
    assert tuple(history) == trainer.columns
    assert tuple(history) == (
        "epoch", "loss", "accuracy", "val_loss", "val_accuracy", "lr",
    )  # fmt: skip


def test_the_rate_in_the_history_is_that_of_the_epoch_s_first_step():
    x, y = blobs(40)
    trainer = make(lr=npnet.schedules.StepLR(0.8, step_size=4, gamma=0.5))
    history = trainer.fit(x, y, epochs=4, batch_size=20)
    assert history["lr"] == [0.8, 0.8, 0.4, 0.4]


def test_gradients_of_somebody_else_are_neither_used_nor_left():
    x, y = blobs()
    clean, stale = make(), make()
    frozen = npnet.Linear(2, 2)
    stale.model.append(frozen)
    clean.model.append(frozen)
    for p in stale.model.parameters():
        p.grad = np.full(p.shape, 1e3)
    for trainer in clean, stale:
        with pytest.warns(RuntimeWarning, match="does not hold 4.weight, 4.bias of the model"):
            trainer.fit(x, y, rng=0)
        assert all(p.grad is None for p in trainer.model.parameters())
    assert np.array_equal(weights(clean), weights(stale))


def test_an_optimizer_of_a_part_trains_that_part():
    x, y = blobs()
    model = net()
    before = model.state_dict()
    model[0].requires_grad_(False)
    Trainer(model, npnet.CrossEntropyLoss(), npnet.optim.SGD(model[-1].parameters(), lr=0.5)).fit(
        x, y, epochs=3
    )
    after = model.state_dict()
    changed = [name for name in before if not np.array_equal(before[name], after[name])]
    assert changed == ["3.weight", "3.bias"]


@pytest.mark.parametrize(("fraction", "held_out"), [(0.2, 2), (0.25, 3), (0.9, 9), (0.01, 1)])
def test_validation_takes_the_last_samples_before_shuffling(fraction, held_out):
    x = np.arange(10.0).reshape(10, 1)
    seen = []

    class Spy(npnet.Linear):
        def forward(self, ctx, x):
            seen.append((ctx.training, sorted(x[:, 0].tolist())))
            return super().forward(ctx, x)

    trainer = make(Spy(1, 1), npnet.MSELoss(), lr=0.0)
    history = trainer.fit(x, x, epochs=2, batch_size=100, validation_split=fraction)
    training = list(range(10 - held_out))
    validation = list(range(10 - held_out, 10))
    assert seen == [(True, training), (False, validation)] * 2
    expected = trainer.evaluate(x[-held_out:], x[-held_out:])["loss"]
    assert history["val_loss"] == [expected] * 2


def test_validation_data_of_every_form():
    x, y = blobs()
    xv, yv = blobs(30, seed=1)
    w = np.linspace(0, 1, 30)
    values = []
    for data in (xv, yv), DataLoader((xv, yv), 7), [(xv[:10], yv[:10]), (xv[10:], yv[10:])]:
        history = make().fit(x, y, epochs=2, validation_data=data, rng=0)
        values.append(history["val_loss"])
    assert values[1] == pytest.approx(values[0])
    assert values[2] == pytest.approx(values[0])
    trainer = make()
    history = trainer.fit(x, y, validation_data=(xv, yv, w), rng=0)
    assert history["val_loss"] == [trainer.loss(trainer.model(xv), yv, sample_weight=w)]


def test_loaders_and_lists_of_batches_train_like_arrays():
    x, y = blobs()
    w = np.linspace(0.1, 1, 50).astype(np.float32)
    arrays = make()
    arrays.fit(x, y, epochs=2, batch_size=20, shuffle=False, sample_weight=w)
    batches = [[x[i : i + 20], y[i : i + 20], w[i : i + 20]] for i in (0, 20, 40)]
    for source in DataLoader((x, y, w), batch_size=20), batches:
        trainer = make()
        history = trainer.fit(source, epochs=2)
        assert np.array_equal(weights(trainer), weights(arrays))
        assert dict(history) == dict(arrays.history)


def test_a_generator_lasts_one_epoch():
    x, y = blobs()
    trainer = make()
    assert trainer.fit((x, y) for _ in range(3))["epoch"] == [1]
    with pytest.raises(ArgumentError, match="a generator can be looped over once, but 2 epochs"):
        trainer.fit(((x, y) for _ in range(3)), epochs=2)
    with pytest.raises(ArgumentError, match="looped over once"):
        trainer.fit(x, y, epochs=2, validation_data=((x, y) for _ in range(3)))


def test_a_loader_need_not_know_its_length():
    class Endless:
        def __len__(self):
            raise TypeError("as of a stream")

        def __iter__(self):
            return iter([blobs()])

    assert make().fit(Endless(), epochs=2)["epoch"] == [1, 2]


def test_pytorch_s_loader_is_a_loader_too():
    torch = pytest.importorskip("torch")
    x, y = blobs()
    data = torch.utils.data.TensorDataset(torch.from_numpy(x), torch.from_numpy(y))
    ours, theirs = make(metrics=["accuracy"]), make(metrics=["accuracy"])
    ours.fit(x, y, batch_size=20, shuffle=False)
    theirs.fit(torch.utils.data.DataLoader(data, batch_size=20))
    for name, column in theirs.history.items():
        assert column == pytest.approx(ours.history[name], rel=1e-6)


def test_lists_and_memory_mapped_files_are_data_too(tmp_path):
    x, y = blobs()
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    trainers = make(), make(), make()
    for trainer, data in zip(trainers, (x, mapped, x.tolist()), strict=True):
        trainer.fit(data, y.tolist(), rng=0)
        assert np.array_equal(weights(trainer), weights(trainers[0]))
        assert np.array_equal(trainer.predict(data), trainers[0].predict(x))


def test_data_are_left_as_they_are():
    x, y = blobs()
    for array in x, y:
        array.flags.writeable = False
    trainer = make(metrics=["accuracy"])
    trainer.fit(x, y, validation_split=0.2, sample_weight=np.ones(50))
    trainer.evaluate(x, y)
    assert np.array_equal(x, blobs()[0])


class Difference(npnet.Layer):
    """Two inputs, and as many outputs as asked for."""

    def __init__(self, outputs=1):
        super().__init__()
        self.scale = npnet.Parameter(0.0)
        self.outputs = outputs

    def forward(self, ctx, a, b):
        ctx.save(a - b)
        y = self.scale.data * (a - b)
        return y if self.outputs == 1 else (y, 2 * y)

    def backward(self, ctx, grad):
        (d,) = ctx.saved
        ctx.add_grad(self.scale, np.sum(grad * d))
        return grad * self.scale.data, -grad * self.scale.data


def test_several_inputs(rng):
    a, b = rng.normal(size=(2, 64, 1))
    trainer = make(Difference(), npnet.MSELoss(), lr=0.3)
    history = trainer.fit((a, b), 3 * (a - b), epochs=30, validation_split=0.25, rng=0)
    assert trainer.model.scale.data == pytest.approx(3, abs=1e-3)
    assert history["val_loss"][-1] < 1e-5
    assert trainer.evaluate((a, b), 3 * (a - b))["loss"] < 1e-5
    assert np.allclose(trainer.predict((a, b), batch_size=10), 3 * (a - b), atol=1e-2)
    trainer.fit([((a, b), 3 * (a - b))])
    with pytest.raises(DataError, match="same number of samples"):
        trainer.fit((a, b[:3]), a)


def test_several_outputs_are_predicted_and_not_trained(rng):
    a, b = rng.normal(size=(2, 9, 1))
    trainer = make(Difference(outputs=2), npnet.MSELoss())
    trainer.model.scale.data = 2.0
    y, twice = trainer.predict((a, b), batch_size=4)
    assert np.allclose(y, 2 * (a - b))
    assert np.array_equal(twice, 2 * y)
    for call in trainer.fit, trainer.evaluate:
        with pytest.raises(ArgumentError, match=r"1 prediction \(pred\), and the model returns 2"):
            call((a, b), a)


def test_a_batch_in_which_nothing_counts_is_passed_over():
    x, y = blobs(30)
    w = np.ones(30)
    w[10:20] = 0
    model = net()
    optimizer = npnet.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    trainer = Trainer(model, npnet.CrossEntropyLoss(), optimizer)
    history = trainer.fit(x, y, batch_size=10, shuffle=False, sample_weight=w)
    assert optimizer.step_count == 2
    assert math.isfinite(history["loss"][0])
    with pytest.warns(RuntimeWarning, match="loss is nan: all sample weights are 0, or all"):
        trainer.fit(x, y, sample_weight=0 * w)
    assert math.isnan(trainer.evaluate(x, y, sample_weight=0 * w)["loss"])


def test_an_epoch_s_loss_joins_batches_of_unequal_weight():
    x, y = blobs(25)
    w = np.linspace(0, 3, 25)
    trainer = make(net(np.float64), npnet.CrossEntropyLoss(weight=[1.0, 5.0]), lr=0.0)
    history = trainer.fit(x, y, batch_size=7, sample_weight=w)
    expected = trainer.loss(trainer.model(x), y, sample_weight=w)
    assert history["loss"][0] == pytest.approx(expected, rel=1e-12)


# --- a loss that is not finite


def diverging():
    x, y = blobs(64)
    x[40] = np.nan
    return x, y


def test_a_loss_that_is_not_finite_is_recorded_and_warned_of_once():
    x, y = diverging()
    with pytest.warns(
        RuntimeWarning, match=r"loss is nan: x\[40, 0\] is nan, and callb.*TerminateOn"
    ) as caught:
        history = make().fit(x, y, epochs=3)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert np.isnan(history["loss"]).all()


def test_terminate_on_nan():
    x, y = diverging()
    trainer = make()
    with pytest.warns(RuntimeWarning, match="loss is nan"):
        history = trainer.fit(x, y, epochs=3, batch_size=8, shuffle=False,
                              callbacks=[TerminateOnNaN()])  # fmt: skip
    assert trainer.optimizer.step_count == 6
    assert history["epoch"] == [1]
    assert not history.interrupted


# --- evaluate


@given(
    n=st.integers(1, 30),
    size=st.integers(1, 31),
    reduction=st.sampled_from(["mean", "sum"]),
    kind=st.sampled_from(["plain", "class weights", "sample weights", "ignored"]),
)
def test_evaluate_is_exact_whatever_the_batch_size(n, size, reduction, kind):
    x, y = blobs(n)
    rng = np.random.default_rng(n)
    weight = rng.uniform(0, 3, n) if kind == "sample weights" else None
    class_weights = [0.3, 4.0] if kind == "class weights" else None
    if kind == "ignored":
        y[1::2] = -100
    loss = npnet.CrossEntropyLoss(weight=class_weights, reduction=reduction)
    trainer = make(net(np.float64), loss, ["accuracy"])
    logits = trainer.model(x.astype(np.float64))
    result = trainer.evaluate(x, y, batch_size=size, sample_weight=weight)
    assert result["loss"] == pytest.approx(loss(logits, y, sample_weight=weight), rel=1e-12)
    kept = y >= 0
    assert result["accuracy"] == np.mean(logits[kept].argmax(1) == y[kept])


def test_evaluate_takes_loaders_and_is_in_evaluation_mode():
    x, y = blobs()
    trainer = make(net(dropout=0.9), metrics=["accuracy"])
    expected = trainer.evaluate(x, y)
    assert expected["loss"] == pytest.approx(trainer.loss(trainer.model(x), y))
    for source in DataLoader((x, y), 8), [(x, y)], ((x, y) for _ in range(1)):
        assert trainer.evaluate(source) == pytest.approx(expected)


# --- predict


@pytest.mark.parametrize("size", [1, 7, 50, 1000, None, np.int64(3)])
def test_predict_is_the_model_in_evaluation_mode(size):
    x, _ = blobs()
    trainer = make(net(dropout=0.9))
    assert np.allclose(trainer.predict(x, batch_size=size), trainer.model(x), atol=1e-6)


def test_predict_goes_through_many_rows_in_pieces():
    trainer = make()
    x = np.zeros((1000, 3), np.float32)
    rows = []

    class Spy(npnet.Identity):
        def forward(self, ctx, x):
            rows.append(len(x))
            return x

    trainer.model = Spy()
    assert not np.shares_memory(trainer.predict(x), x)
    assert rows == [256, 256, 256, 232]


def test_predict_of_no_rows_has_no_rows():
    y = make().predict(np.zeros((0, 3)))
    assert y.shape == (0, 2)
    assert y.dtype == np.float32


def test_bad_input_of_predict():
    trainer = make()
    with pytest.raises(ShapeError, match="expected input of shape"):
        trainer.predict(np.zeros((4, 5)))
    with pytest.raises(DataError, match=r"same number of rows, got shapes \(4, 3\), \(5, 3\)"):
        trainer.predict((np.zeros((4, 3)), np.zeros((5, 3))))
    with pytest.raises(DataError, match="same number of rows"):
        trainer.predict(1.0)
    with pytest.raises(DataError, match="got shapes none"):
        trainer.predict(())
    with pytest.raises(ArgumentError, match="takes the array itself, got a DataLoader"):
        trainer.predict(DataLoader(np.zeros((4, 3))))
    with pytest.raises(DtypeError, match="x: expected real numbers"):
        trainer.predict(np.zeros((4, 3), complex))

    class Pooled(npnet.Identity):
        def forward(self, ctx, x):
            return x.sum(axis=0, keepdims=True)

    trainer.model = Pooled()
    with pytest.raises(ShapeError, match="one row of output for each of 4 rows"):
        trainer.predict(np.zeros((4, 3)))


# --- bad input

X, Y = np.zeros((6, 3)), np.zeros(6, int)


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"y": Y[:5]}, DataError, r"same number of samples, got shapes \(6, 3\), \(5,\)"),
        ({"x": X[:0], "y": Y[:0]}, DataError, "data is empty"),
        ({"x": [], "y": []}, DataError, "data is empty"),
        ({"x": np.zeros((6, 4)), "y": Y}, ShapeError, "expected input of shape"),
        ({"y": np.full(6, 2)}, npnet.errors.TargetError, "labels from 0 to 1"),
        ({"y": np.full(6, 0.5)}, npnet.errors.TargetError, "whole labels"),
        ({"y": np.array(list("abcdef"))}, DtypeError, "y: expected real numbers"),
        ({"x": X.astype(object), "y": Y}, DtypeError, "x: expected real numbers"),
        ({"x": X + 1j, "y": Y}, DtypeError, "x: expected .* got dtype complex128"),
        ({"x": np.ma.masked_invalid(X), "y": Y}, DtypeError, "x: a masked array"),
        ({"x": 1.0, "y": Y}, ShapeError, "got the scalar"),
        ({"y": None}, ArgumentError, "got y=None and x of type ndarray"),
        ({"x": (X, Y), "y": None}, ArgumentError, "got y=None and x of type tuple"),
        ({"x": 7, "y": None}, ArgumentError, "got y=None and x of type int"),
        ({"x": [X, Y], "y": None}, DataError, "got ndarray; arrays are passed as"),
        ({"x": [(X,)], "y": None}, DataError, "got tuple of 1"),
        ({"x": [], "y": None}, DataError, "the iterable gave no batch"),
        ({"x": [(X, Y)], "y": Y}, (DataError, ShapeError), "ragged|same number"),
        ({"x": DataLoader((X, Y))}, ArgumentError, "with y given, x must be an array"),
        ({"epochs": 0}, ArgumentError, "fit expects epochs to be a positive integer, got 0"),
        ({"epochs": 1.5}, ArgumentError, "fit expects epochs to be a positive integer, got 1.5"),
        ({"epochs": True}, ArgumentError, "fit expects epochs to be a positive integer, got True"),
        ({"batch_size": 0}, ArgumentError, "batch_size to be a positive integer, got 0"),
        ({"batch_size": "8"}, ArgumentError, "batch_size to be a positive integer, got '8'"),
        (
            {"validation_split": 1.0},
            ArgumentError,
            "validation_split to be a finite number of at least 0 and below 1",
        ),
        (
            {"validation_split": -0.1},
            ArgumentError,
            "validation_split to be a finite number of at least 0 and below 1",
        ),
        (
            {"validation_split": "a"},
            ArgumentError,
            "validation_split to be a finite number of at least 0 and below 1",
        ),
        (
            {"validation_split": math.nan},
            ArgumentError,
            "validation_split to be a finite number of at least 0 and below 1",
        ),
        ({"validation_split": 0.9}, ArgumentError, "split into 0 for training and 6"),
        ({"validation_split": 1e-9}, ArgumentError, "6 for training and 0 for validation"),
        ({"validation_data": (X, Y), "validation_split": 0.5}, ArgumentError, "not both"),
        ({"validation_data": (X,)}, ArgumentError, "got a tuple of 1"),
        ({"validation_data": X}, ArgumentError, "x of type ndarray"),
        ({"validation_data": [X, Y]}, ArgumentError, r"make it a tuple: \(x, y\)"),
        ({"validation_data": (X, Y[:3])}, DataError, "same number of samples"),
        ({"validation_data": (X[:0], Y[:0])}, DataError, "data is empty"),
        ({"sample_weight": np.ones(5)}, DataError, "same number of samples"),
        ({"sample_weight": -np.ones(6)}, ArgumentError, "sample_weight.0. to be a finite number"),
        (
            {"callbacks": [3]},
            ArgumentError,
            "a callback to be a Callback or a function",
        ),
        (
            {"callbacks": 3},
            ArgumentError,
            "callbacks to be a list of .* got 3",
        ),
        ({"callbacks": [TerminateOnNaN]}, ArgumentError, r"add parentheses: TerminateOnNaN\(...\)"),
        ({"rng": "seed"}, ArgumentError, "rng to be"),
    ],
)
def test_bad_input_of_fit(arguments, error, match):
    trainer = make()
    before = weights(trainer)
    with pytest.raises(error, match=match):
        trainer.fit(**{"x": X, "y": Y, **arguments})
    assert np.array_equal(weights(trainer), before)
    assert trainer.history["epoch"] == []


@pytest.mark.parametrize(
    "option",
    [{"batch_size": 2}, {"shuffle": True}, {"shuffle": False}, {"sample_weight": np.ones(6)},
     {"validation_split": 0.5}],
)  # fmt: skip
def test_options_for_arrays_are_refused_with_batches(option):
    (name,) = option
    with pytest.raises(ArgumentError, match=f"^{name} cannot be applied .* by a DataLoader"):
        make().fit(DataLoader((X, Y)), **option)


def test_bad_input_of_evaluate():
    trainer = make()
    with pytest.raises(DataError, match="data is empty"):
        trainer.evaluate(X[:0], Y[:0])
    with pytest.raises(DataError, match="gave no batch"):
        trainer.evaluate([])
    with pytest.raises(ArgumentError, match="^batch_size cannot be applied"):
        trainer.evaluate(DataLoader((X, Y)), batch_size=3)
    with pytest.raises(ArgumentError, match="evaluate expects batch_size to be a positive integer"):
        trainer.evaluate(X, Y, batch_size=-1)
    with pytest.raises(ArgumentError, match="y=None"):
        trainer.evaluate(X)


def test_bad_parts_of_a_trainer():
    model, loss = net(), npnet.MSELoss()
    optimizer = npnet.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(
        ArgumentError, match=r"model to be a Layer, .*several layers make one model"
    ):
        Trainer([model], loss, optimizer)
    with pytest.raises(ArgumentError, match=r"loss to be a Loss, got the class MSELoss; add paren"):
        Trainer(model, npnet.MSELoss, optimizer)
    with pytest.raises(ArgumentError, match="loss to be a Loss, got 'mse'; such as npnet.Cross"):
        Trainer(model, "mse", optimizer)
    with pytest.raises(ArgumentError, match="optimizer to be an Optimizer, got 0.1; such as"):
        Trainer(model, loss, 0.1)
    with pytest.raises(ArgumentError, match="one number, got MSELoss.*reduction='mean' or 'sum'"):
        Trainer(model, npnet.MSELoss(reduction="none"), optimizer)
    with pytest.raises(ArgumentError, match="none of the model's parameters.*this very model"):
        Trainer(net(), loss, optimizer)
    with pytest.raises(ArgumentError, match="none of the model's parameters"):
        Trainer(npnet.ReLU(), loss, optimizer)
    with pytest.raises((AttributeError, NameTypoError)):
        make().histroy = 3


@pytest.mark.parametrize(
    ("call", "answer"),
    [
        (lambda t: t.fit(X, Y, verbose=1), "progress=True or progress=False"),
        (lambda t: t.fit(X, Y, batch=3), "did you mean 'batch_size'"),
        (lambda t: t.fit(X, Y, epoch=3), "did you mean 'epochs'"),
        (lambda t: t.fit(X, Y, gradient_accumulation_steps=2), "it is accumulate"),
        (lambda t: t.fit(X, Y, 32, 10), r"too many positional arguments; it takes \(x, y=None"),
        (lambda t: t.fit(), "missing a required argument: 'x'"),
        (lambda t: t.evaluate(X, Y, verbose=0), "progress"),
        (lambda t: t.predict(X, batchsize=3), "did you mean 'batch_size'"),
        (lambda t: t.train(X, Y), "trainer.fit"),
        (lambda t: t.compile("adam"), r"Trainer\(model, loss, optimizer, metrics="),
        (lambda t: t.score(X, Y), "trainer.evaluate"),
        (lambda t: t.predict_classes(X), "argmax"),
        (lambda t: t.summary(), "trainer.model.summary"),
        (lambda t: setattr(t, "optimizer", npnet.optim.SGD), "add parentheses: SGD"),
        (lambda t: t.fit(X, Y, progress="no"), "progress to be True or False, got 'no'"),
        (lambda t: t.fit(X, Y, epochs=10**400), "epochs to be a positive integer"),
        (lambda t: Trainer(t.model, t.loss, t.optimizer, metric=["accuracy"]), "did you mean 'met"),
        (lambda t: Trainer(t.model, t.loss), "missing a required argument: 'optimizer'"),
        (lambda t: Trainer(t.model, t.optimizer, t.loss), "expects loss to be a Loss, got SGD"),
    ],
)
def test_habits_and_typos_are_answered_in_a_sentence(call, answer):
    trainer = make()
    with pytest.raises(npnet.NpnetError, match=answer):
        call(trainer)
    assert trainer.optimizer.step_count == 0


def test_a_type_error_from_within_stays_what_it_is():
    def broken(trainer, logs):
        raise TypeError("mine")

    with pytest.raises(TypeError, match="^mine$"):
        make().fit(X, Y, callbacks=[broken])


def test_a_trainer_shows_what_it_was_made_of():
    text = repr(make(metrics=["accuracy"]))
    assert text.startswith("Trainer(model=Sequential(")
    assert "metrics=['accuracy']" in text
