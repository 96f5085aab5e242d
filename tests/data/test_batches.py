import math

import numpy as np
import pytest

import npnet
import npnet.random
from npnet.data import DataLoader, train_test_split
from npnet.data.batches import evaluation_source, input_batches, training_sources
from npnet.errors import ArgumentError, DataError, NpnetError
from npnet.random import generator_at

X, Y = np.arange(20.0).reshape(10, 2), np.arange(10) % 2
OPTIONS = {
    "epochs": 1, "batch_size": 3, "validation_data": None, "validation_split": 0.0,
    "shuffle": None, "sample_weight": None, "seed": 7,
}  # fmt: skip


def sources(x, y=None, **options):
    return training_sources(x, y, **{**OPTIONS, **options})


def trainer_of(*layers):
    npnet.manual_seed(0)
    model = npnet.Sequential(*layers, npnet.Linear(2, 2))
    optimizer = npnet.optim.SGD(model.parameters(), lr=0.1)
    return npnet.Trainer(model, npnet.CrossEntropyLoss(), optimizer)


def weights(trainer):
    return np.concatenate([p.data.ravel() for p in trainer.model.parameters()])


# --- sources


def test_arrays_have_names_and_a_number_of_batches():
    source, validation = sources((X, X + 1), Y, sample_weight=np.ones(10), validation_split=0.2)
    arrays = source.named_arrays()
    assert list(arrays) == ["x[0]", "x[1]", "y", "sample_weight"]
    assert np.array_equal(arrays["x[1]"], X[:8] + 1)
    assert np.array_equal(validation.named_arrays()["y"], Y[8:])
    assert (source.steps_per_epoch, validation.steps_per_epoch) == (3, 1)
    assert list(evaluation_source(X, Y, None, None).named_arrays()) == ["x", "y"]


def test_batches_of_somebody_else_have_no_names():
    for loader, steps in ((DataLoader((X, Y), 3), 4), ([(X, Y)], 1), (iter([(X, Y)]), 1)):
        source, _ = sources(loader, batch_size=None)
        assert source.named_arrays() == {}
        assert source.steps_per_epoch == steps
    assert sources(((X, Y) for _ in range(2)), batch_size=None)[0].steps_per_epoch is None


def test_a_batch_has_inputs_target_and_weight():
    weight = np.linspace(1, 2, 10)
    arrays = sources((X, X + 1), Y, shuffle=False, sample_weight=weight)[0]
    loader = sources([((X[:3], X[:3] + 1), Y[:3], weight[:3])], batch_size=None)[0]
    for source in arrays, loader:
        inputs, target, factor = next(source.epoch(1))
        assert [a.tolist() for a in inputs] == [X[:3].tolist(), (X[:3] + 1).tolist()]
        assert target.tolist() == [0, 1, 0]
        assert np.array_equal(factor, weight[:3])
    assert next(sources(X, Y)[0].epoch(1)).weight is None
    assert np.shares_memory(next(arrays.epoch(1)).inputs[0], X)


def test_an_epoch_is_the_same_whatever_was_asked_for_before():
    source = sources(X, Y)[0]
    epochs = {e: [b.inputs[0].tolist() for b in source.epoch(e)] for e in (1, 2, 3)}
    assert epochs[1] != epochs[2] != epochs[3]
    next(source.epoch(5))
    loader = DataLoader((X, Y), 3, shuffle=True, rng=7)
    for e in 3, 1, 2:
        assert [b.inputs[0].tolist() for b in sources(X, Y)[0].epoch(e)] == epochs[e]
        assert [x.tolist() for x, _ in loader.epoch(e)] == epochs[e]


def test_a_loader_is_asked_for_the_epochs_of_the_history():
    at_once, in_parts, arrays = trainer_of(), trainer_of(), trainer_of()
    at_once.fit(DataLoader((X, Y), 3, shuffle=True, rng=1), epochs=3)
    for _ in range(3):  # as after a restart, with a new loader
        loader = DataLoader((X, Y), 3, shuffle=True, rng=1)
        next(iter(loader))
        in_parts.fit(loader)
    arrays.fit(X, Y, batch_size=3, epochs=3, rng=1)
    assert np.array_equal(weights(at_once), weights(in_parts))
    assert np.array_equal(weights(at_once), weights(arrays))


def test_a_loader_with_a_loop_of_its_own_is_looped_over():
    class Twice(DataLoader):
        def __iter__(self):
            yield from self.epoch(1)
            yield from self.epoch(1)

    assert len(list(sources(Twice((X, Y), 5), batch_size=None)[0].epoch(1))) == 4


# --- what the model draws


class Draw(npnet.Identity):
    """Note the first numbers of each pass."""

    def __init__(self, seen):
        super().__init__()
        self.seen = seen

    def forward(self, ctx, x):
        if ctx.training:
            self.seen.append(ctx.rng.random(2).tolist())
        return x


class Stop(npnet.training.Callback):
    def on_batch_end(self, trainer, loss):
        trainer.stop()


def expected(seed, epoch, batch):
    """The numbers of a batch, written out with NumPy alone."""
    bits = np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(epoch,)))
    return np.random.Generator(bits.jumped(batch + 1)).random(4).reshape(2, 2).tolist()


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ((-1, 1), "seed"), (("a", 1), "seed"), ((2**128, 1), "seed"), (((1, 2), 1), "seed"),
        ((0, 0), "epoch"), ((0, -1), "epoch"), ((0, 1.5), "epoch"), ((0, "1"), "epoch"),
        (("a", 1, 0), "seed"), ((0, None, 0), "epoch"), ((0, 1, -1), "batch"),
    ],
)  # fmt: skip
def test_places_are_whole_numbers(place, name):
    with pytest.raises(ArgumentError, match=f"^generator_at expects {name} to be"):
        generator_at(*place)


def test_what_a_model_draws_depends_on_seed_epoch_and_batch_alone():
    seen = []
    trainer = trainer_of(Draw(seen), Draw(seen))  # two layers draw one after the other
    trainer.fit(X, Y, batch_size=4, epochs=2, rng=3)
    places = [(3, epoch, batch) for epoch in (1, 2) for batch in (0, 1, 2)]
    assert seen == [row for place in places for row in expected(*place)]
    assert len({row[0] for row in seen}) == 12
    for place in places:
        assert generator_at(*place).random(4).reshape(2, 2).tolist() == expected(*place)

    seen.clear()
    trainer = trainer_of(Draw(seen))
    trainer.fit(X, Y, batch_size=4, rng=3)
    trainer.fit(X, Y, batch_size=4, rng=3, callbacks=[Stop()])
    trainer.fit(X, Y, batch_size=4, rng=3)
    assert seen[-4:] == [expected(3, *place)[0] for place in ((2, 0), (3, 0), (3, 1), (3, 2))]


def test_a_model_that_draws_nothing_makes_no_generator(monkeypatch):
    made = []
    original = npnet.random.generator_at
    monkeypatch.setattr(npnet.random, "generator_at", lambda *p: made.append(p) or original(*p))
    trainer_of().fit(X, Y, batch_size=2, epochs=2, shuffle=False, rng=0)
    assert made == []
    trainer_of(npnet.Dropout(0.5)).fit(X, Y, batch_size=2, epochs=2, shuffle=False, rng=0)
    assert made == [(0, 1), (0, 2)]  # once for each epoch


def test_one_integer_is_drawn_from_a_generator():
    rng = np.random.default_rng(4)
    seed = int(np.random.default_rng(4).integers(2**63))
    drawn, given = trainer_of(npnet.Dropout(0.5)), trainer_of(npnet.Dropout(0.5))
    drawn.fit(X, Y, batch_size=3, rng=rng)
    given.fit(X, Y, batch_size=3, rng=seed)
    assert np.array_equal(weights(drawn), weights(given))
    reference = np.random.default_rng(4)
    reference.integers(2**63)
    assert rng.bit_generator.state == reference.bit_generator.state


# --- habits of users of other frameworks

LOADER = DataLoader((X, Y), 5)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda t: t.fit([X, X], Y), r"x is a list of arrays; .*one tuple, fit\(\(a, b\), y\)"),
        (lambda t: t.fit([*X], Y), "rows of one array are joined with np.stack"),
        (lambda t: t.fit(X, [Y, Y]), "y is a list of arrays"),
        (lambda t: t.fit(((X, X), X), Y), r"x\[0\] is a tuple of arrays"),
        (lambda t: t.evaluate([X, X], Y), r"several arrays are one tuple, fit\(\(a, b\), y\)"),
        (lambda t: t.predict([X, X]), r"several arrays are one tuple, predict\(\(a, b\)\)"),
        (lambda t: t.fit([([X, X], Y)]), r"several inputs are one tuple: \(\(a, b\), y\)"),
        (lambda t: t.fit(LOADER, Y), r"got a DataLoader; .* comes alone: fit\(loader\)"),
        (lambda t: t.evaluate(LOADER, Y), r"comes alone: evaluate\(loader\)"),
        (lambda t: t.fit(LOADER, batch_size=5), "^batch_size cannot be applied to batches"),
        (lambda t: t.fit(X, batch_size=5), "expected arrays x and y.*got y=None and x of type nd"),
        (lambda t: t.fit("xy"), "got y=None and x of type str"),
        (lambda t: t.fit({"x": X}), "got y=None and x of type dict"),
        (lambda t: t.fit(X, Y, validation_data=[X, Y]), r"make it a tuple: \(x, y\)"),
        (lambda t: t.fit(X, Y, validation_split=20), "got 20; 20 percent is 0.2"),
        (lambda t: t.fit(X, Y, validation_split=None), "a finite number of at least 0"),
        (lambda t: t.fit(X, Y, shuffle="batch"), "fit expects shuffle to be True or False"),
        (lambda t: t.predict(LOADER), r"got a DataLoader; loop over it: \[model\(xb\) for xb"),
        (lambda t: t.predict(iter([X])), "takes the array itself"),
        (lambda t: t.predict(X, batch_size=10**30), "predict expects batch_size to be a positive"),
    ],
)
def test_habits_get_the_fix_told(call, words):
    with pytest.raises(NpnetError, match=words):
        call(trainer_of())


def test_pytorch_s_loader_is_told_apart_from_an_array():
    torch = pytest.importorskip("torch")
    data = torch.utils.data.TensorDataset(torch.ones(4, 2), torch.zeros(4))
    loader = torch.utils.data.DataLoader(data)
    with pytest.raises(ArgumentError, match="comes alone"):
        trainer_of().fit(loader, Y)
    with pytest.raises(ArgumentError, match="takes the array itself"):
        trainer_of().predict(loader)


@pytest.mark.parametrize("kind", [float, np.float16, np.float32, np.float64, np.longdouble])
@pytest.mark.parametrize("fraction", [0.1, 0.2, 0.3, 0.7, 0.9])
def test_a_fraction_counts_as_it_was_written_in_any_dtype(kind, fraction):
    count = round(1000 * fraction)
    x, y = np.zeros((1000, 1)), np.zeros(1000)
    training, validation = sources(x, y, validation_split=kind(fraction))
    assert len(validation.named_arrays()["y"]) == count
    assert len(training.named_arrays()["y"]) == 1000 - count
    train, test = train_test_split(x, test_size=kind(fraction), shuffle=False)
    assert (len(train), len(test)) == (1000 - count, count)


def test_batches_to_predict_are_views_and_one_at_least():
    batches = input_batches((X, X + 1), 4)
    assert [len(inputs[0]) for inputs in batches] == [4, 4, 2]
    assert np.shares_memory(batches[0][0], X)
    assert [inputs[0].shape for inputs in input_batches(X[:0], None)] == [(0, 2)]
    assert math.prod(input_batches(X, None)[0][0].shape) == 20
    with pytest.raises(DataError, match="same number of rows"):
        input_batches((X, X[:3]), None)
