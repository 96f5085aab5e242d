"""ReduceLROnPlateau against PyTorch's, on sequences of losses."""

import itertools
import math

import numpy as np
import pytest

import npnet
from npnet.errors import ArgumentError, NameTypoError, SignatureError
from npnet.training import Callback, ReduceLROnPlateau, Trainer

RNG = np.random.default_rng(0)
SEQUENCES = {
    "noise": RNG.normal(size=60).tolist(),
    "decay with noise": (np.exp(-np.arange(60) / 8) + 0.02 * RNG.normal(size=60)).tolist(),
    "steps": np.repeat(RNG.random(12), 5).tolist(),
    "constant": [0.5] * 60,
    "nan between": [math.nan if i % 4 == 1 else 1 / (1 + i % 9) for i in range(60)],
    "negative": (-np.sqrt(np.arange(60)) + RNG.random(60)).tolist(),
    "zero": [0.0, 1e-5, -1e-5] * 20,
}
OPTIONS = [
    {"mode": mode, "threshold_mode": threshold_mode, "threshold": threshold, **more}
    for mode, threshold_mode, threshold, more in itertools.product(
        ("min", "max"),
        ("rel", "abs"),
        (0.0, 1e-4, 0.05),
        (
            {"patience": 3, "factor": 0.5},
            {"patience": 0, "cooldown": 2, "min_lr": 1e-3},
            {"patience": 1, "factor": 0.3, "cooldown": 1, "min_lr": [1e-3, 0.02], "eps": 1e-2},
            {"patience": 2, "factor": 0.0, "eps": 0.0},
        ),
    )
]


class FakeTrainer:
    """What a callback looks at, with an optimizer of two groups."""

    columns = ("epoch", "loss", "val_loss", "lr")

    def __init__(self, lr=0.1):
        groups = [{"params": [npnet.Parameter([0.0])], "lr": lr}]
        groups.append({"params": [npnet.Parameter([0.0])], "lr": 0.5})
        self.optimizer = npnet.optim.SGD(groups, lr=0.1)


@pytest.mark.parametrize("values", SEQUENCES.values(), ids=SEQUENCES)
def test_the_rates_are_those_of_torch(values):
    torch = pytest.importorskip("torch")
    for options in OPTIONS:
        theirs = torch.optim.SGD(
            [{"params": [torch.zeros(1)], "lr": 0.1}, {"params": [torch.zeros(1)], "lr": 0.5}]
        )
        scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(theirs, **options)
        trainer, callback = FakeTrainer(), ReduceLROnPlateau("val_loss", **options)
        callback.on_train_begin(trainer)
        changes, before = [], [0.1, 0.5]
        for epoch, value in enumerate(values, start=1):
            callback.on_epoch_end(trainer, {"epoch": epoch, "val_loss": value})
            scheduler.step(value)
            expected = [group["lr"] for group in theirs.param_groups]
            found = [group["lr"] for group in trainer.optimizer.param_groups]
            assert found == pytest.approx(expected, rel=1e-12, abs=0), (options, epoch)
            changes += [epoch] if expected != before else []
            before = expected
        assert callback.reductions == changes
        assert callback.best == scheduler.best


def test_defaults_are_those_of_torch():
    torch = pytest.importorskip("torch")
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(torch.optim.SGD([torch.zeros(1)]))
    ours = ReduceLROnPlateau()
    for name in ("mode", "factor", "patience", "threshold", "threshold_mode", "cooldown", "eps"):
        assert getattr(ours, name) == getattr(theirs, name)
    assert [ours.min_lr] == theirs.min_lrs


def test_in_a_training():
    npnet.manual_seed(0)
    x = np.ones((10, 1))
    model = npnet.Linear(1, 1)
    optimizer = npnet.optim.SGD(model.parameters(), lr=1e-30)  # nothing improves
    trainer = Trainer(model, npnet.MSELoss(), optimizer)
    callback = ReduceLROnPlateau("loss", factor=0.5, patience=2, eps=0.0)
    history = trainer.fit(x, x, epochs=8, callbacks=[callback])
    assert history["lr"] == [1e-30] * 4 + [0.5e-30] * 3 + [0.25e-30]
    assert callback.reductions == [4, 7]
    trainer.fit(x, x, epochs=2, callbacks=[callback])  # counts anew
    assert callback.reductions == []
    assert optimizer.lr == 0.25e-30


def test_modes_of_known_columns():
    assert ReduceLROnPlateau("val_accuracy").mode == "max"
    assert ReduceLROnPlateau("mae").mode == "min"
    with pytest.raises(ArgumentError, match="ReduceLROnPlateau does not know whether a small 'f1'"):
        ReduceLROnPlateau("f1")
    assert ReduceLROnPlateau("f1", "max").mode == "max"
    assert "mode='min', factor=0.5" in repr(ReduceLROnPlateau(factor=0.5))


def fit(callback, lr=0.1):
    x = np.ones((10, 1))
    model = npnet.Linear(1, 1)
    optimizer = npnet.optim.SGD(model.parameters(), lr=lr)
    Trainer(model, npnet.MSELoss(), optimizer).fit(x, x, callbacks=[callback])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fit(ReduceLROnPlateau()), "monitors 'val_loss', but this training records only"),
        (lambda: fit(ReduceLROnPlateau("loss"), lr=lambda step: 0.1), "is a schedule; take one"),
        (
            lambda: fit(ReduceLROnPlateau("loss", min_lr=[0.1, 0.2])),
            "2 lowest rates, and the optimizer has 1 parameter groups",
        ),
        (lambda: ReduceLROnPlateau(factor=1.0), "factor to be .* below 1, got 1.0"),
        (lambda: ReduceLROnPlateau(factor=-0.1), "factor to be .* got -0.1"),
        (lambda: ReduceLROnPlateau(patience=-1), "patience to be an integer of at least 0"),
        (lambda: ReduceLROnPlateau(threshold=math.nan), "threshold to be a finite number"),
        (lambda: ReduceLROnPlateau(threshold_mode="both"), "threshold_mode to be 'rel' or 'abs'"),
        (lambda: ReduceLROnPlateau(cooldown=1.5), "cooldown to be an integer"),
        (lambda: ReduceLROnPlateau(min_lr=-1.0), "min_lr to be .* at least 0"),
        (lambda: ReduceLROnPlateau(min_lr=[0.1, -1.0]), r"min_lr\[1\] to be .* at least 0"),
        (lambda: ReduceLROnPlateau(eps=-1), "eps to be .* at least 0"),
        (lambda: ReduceLROnPlateau(FakeTrainer().optimizer), "fit calls it with the optimizer"),
    ],
)
def test_mistakes(call, message):
    with pytest.raises(ArgumentError, match=message):
        call()


def test_arguments_of_keras_and_torch_are_answered():
    with pytest.raises(SignatureError, match="threshold_mode='abs'"):
        ReduceLROnPlateau(min_delta=0.1)
    with pytest.raises(SignatureError, match="says nothing"):
        ReduceLROnPlateau(verbose=1)
    with pytest.raises(NameTypoError, match="it is a callback"):
        ReduceLROnPlateau().step(0.1)


def test_it_is_a_callback():
    assert isinstance(ReduceLROnPlateau(), Callback)
