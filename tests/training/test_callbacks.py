import contextlib
import math

import numpy as np
import pytest

import npnet
from npnet.errors import ArgumentError, NameTypoError, NpnetError, SignatureError
from npnet.training import Callback, EarlyStopping, Trainer

X = np.random.default_rng(0).normal(size=(20, 3))
Y = (X[:, 0] > 0).astype(int)


def make(metrics=(), lr=0.1):
    npnet.manual_seed(0)
    model = npnet.Linear(3, 2)
    optimizer = npnet.optim.SGD(model.parameters(), lr=lr)
    return Trainer(model, npnet.CrossEntropyLoss(), optimizer, metrics)


class Recorder(Callback):
    def __init__(self):
        self.events = []

    def on_train_begin(self, trainer):
        self.events.append("train begin")

    def on_epoch_begin(self, trainer):
        self.events.append("epoch begin")

    def on_backward_end(self, trainer):
        assert trainer.model.weight.grad is not None
        self.events.append("backward end")

    def on_batch_end(self, trainer, loss):
        assert isinstance(loss, float)
        assert trainer.model.weight.grad is not None
        self.events.append("batch end")

    def on_epoch_end(self, trainer, logs):
        assert logs == {name: column[-1] for name, column in trainer.history.items()}
        self.events.append("epoch end")

    def on_train_end(self, trainer):
        self.events.append("train end")


def test_the_order_of_events():
    recorder = Recorder()
    make().fit(X, Y, epochs=2, batch_size=10, callbacks=[recorder], validation_data=(X, Y))
    epoch = ["epoch begin", *["backward end", "batch end"] * 2, "epoch end"]
    assert recorder.events == ["train begin", *epoch, *epoch, "train end"]


def test_callbacks_are_called_in_their_order():
    calls = []
    callbacks = [lambda trainer, logs: calls.append(1), lambda trainer, logs: calls.append(2)]
    make().fit(X, Y, epochs=2, callbacks=callbacks)
    assert calls == [1, 2, 1, 2]


def test_a_lone_callback_needs_no_list():
    recorder = Recorder()
    make().fit(X, Y, callbacks=recorder)
    assert recorder.events[-1] == "train end"


def test_a_function_is_called_after_every_epoch_with_what_is_recorded():
    calls = []

    def note(trainer, logs):
        calls.append((trainer, logs))
        assert math.isfinite(logs["loss"])
        logs["loss"] = math.nan  # a copy: the record and the next one's logs stay

    trainer = make()
    history = trainer.fit(X, Y, epochs=2, callbacks=[note, note])
    assert [t for t, _ in calls] == [trainer] * 4
    assert [logs["epoch"] for _, logs in calls] == [1, 1, 2, 2]
    assert all(math.isfinite(loss) for loss in history["loss"])


def test_the_end_is_announced_after_an_error_too():
    class Failing(Callback):
        def on_batch_end(self, trainer, loss):
            raise ZeroDivisionError

    recorder = Recorder()
    trainer = make()
    with pytest.raises(ZeroDivisionError):
        trainer.fit(X, Y, callbacks=[Failing(), recorder])
    assert recorder.events == ["train begin", "epoch begin", "backward end", "train end"]
    assert trainer.model.weight.grad is None
    assert not trainer.history.interrupted


def test_gradients_may_be_clipped_before_the_update():
    class Clip(Callback):
        def on_backward_end(self, trainer):
            npnet.optim.clip_grad_norm(trainer.model.parameters(), 1e-3)

    trainer = make(lr=1.0)
    before = trainer.model.state_dict()
    trainer.fit(X, Y, batch_size=20, callbacks=[Clip()])
    after = trainer.model.state_dict()
    step = math.sqrt(sum(np.sum((after[name] - before[name]) ** 2.0) for name in before))
    assert step == pytest.approx(1e-3, rel=1e-3)


def test_a_rate_set_at_the_beginning_of_an_epoch_is_used_and_recorded():
    class Halve(Callback):
        def on_epoch_begin(self, trainer):
            trainer.optimizer.lr /= 2

    history = make(lr=0.8).fit(X, Y, epochs=3, callbacks=[Halve()])
    assert history["lr"] == [0.4, 0.2, 0.1]


def test_stopping_within_an_epoch_closes_it():
    class StopAt(Callback):
        def __init__(self, batch):
            self.left = batch

        def on_batch_end(self, trainer, loss):
            self.left -= 1
            if not self.left:
                trainer.stop()

    trainer = make()
    recorder = Recorder()
    history = trainer.fit(
        X, Y, epochs=5, batch_size=5, validation_data=(X, Y), callbacks=[StopAt(6), recorder]
    )
    assert trainer.optimizer.step_count == 6
    assert history["epoch"] == [1, 2]
    assert math.isfinite(history["val_loss"][1])
    assert recorder.events[-2:] == ["epoch end", "train end"]
    assert not history.interrupted
    assert trainer.fit(X, Y, epochs=2)["epoch"] == [1, 2, 3, 4]


def test_a_mistyped_event_is_refused():
    with pytest.raises(NameTypoError, match="Typo.on_epochs_end is not an event; there are on_tr"):

        class Typo(Callback):
            def on_epochs_end(self, trainer, logs):
                pass


# --- early stopping


def run(values, monitor="val_score", mode="max", **options):
    """Train with a metric whose values are given, and weights that tell the epoch."""
    script = iter(values)

    def score(y_pred, y_true):
        return next(script) if len(y_pred) == 20 else 0.0

    class Mark(Callback):
        def on_batch_end(self, trainer, loss):
            trainer.model.weight.data[...] = len(trainer.history["epoch"]) + 1

    trainer = make([score])
    stopping = EarlyStopping(monitor, mode=mode, **options)
    history = trainer.fit(
        X[:10], Y[:10], epochs=len(values), validation_data=(X, Y), callbacks=[Mark(), stopping]
    )
    return stopping, len(history["epoch"]), int(trainer.model.weight.data[0, 0])


@pytest.mark.parametrize(
    ("values", "options", "best", "stopped", "length"),
    [
        ([1, 2, 3, 2, 9], {}, 3, 4, 4),
        ([1, 2, 3, 2, 9], {"patience": 1}, 3, 4, 4),
        ([1, 2, 3, 2, 9, 1, 1], {"patience": 2}, 5, 7, 7),
        ([5, 4, 5, 5, 9], {"patience": 3}, 1, 4, 4),
        ([1, 2, 3], {}, 3, None, 3),
        ([1, 3, 2], {"patience": 5}, 2, None, 3),
        ([1, 1.5, 1.9, 2.1, 2.2], {"patience": 2, "min_delta": 1}, 1, 3, 3),
        ([1, 1.5, 2.1, 2.2], {"patience": 2, "min_delta": 1}, 3, None, 4),
        ([3, 2, 1, 2, 0], {"mode": "min"}, 3, 4, 4),
        ([math.nan, 1, math.nan, 2], {"patience": 2}, 4, None, 4),
        ([1, math.nan, math.nan, 2], {"patience": 2}, 1, 3, 3),
        ([math.inf, 1, 2], {"patience": 2, "mode": "min"}, 2, None, 3),
    ],
)
def test_early_stopping_by_hand(values, options, best, stopped, length):
    stopping, epochs, mark = run(values, **options)
    assert (stopping.best_epoch, stopping.stopped_epoch, epochs) == (best, stopped, length)
    assert stopping.best == values[best - 1]
    assert mark == best  # restored, whether stopped or not


def test_weights_need_not_be_restored():
    stopping, epochs, mark = run([2, 1, 3], restore_best_weights=False)
    assert (stopping.best_epoch, epochs, mark) == (1, 2, 2)


def test_without_a_finite_value_nothing_is_restored():
    stopping, epochs, mark = run([math.nan, math.nan, math.nan], patience=2)
    assert stopping.best is stopping.best_epoch is None
    assert (stopping.stopped_epoch, epochs, mark) == (2, 2, 2)


def test_early_stopping_starts_anew_with_each_training():
    stopping = EarlyStopping("loss", patience=1)
    trainer = make(lr=0.01)
    trainer.fit(X, Y, epochs=3, callbacks=[stopping])
    assert stopping.best_epoch == 3
    trainer.optimizer.lr = 0.0
    trainer.fit(X, Y, epochs=3, callbacks=[stopping], batch_size=20, shuffle=False)
    assert stopping.best_epoch == 4
    assert stopping.stopped_epoch == 5


@pytest.mark.parametrize(
    ("monitor", "mode"),
    [("val_loss", "min"), ("loss", "min"), ("val_accuracy", "max"), ("r2", "max"), ("mae", "min")],
)
def test_the_automatic_mode(monitor, mode):
    assert EarlyStopping(monitor).mode == mode


def test_bad_arguments_of_early_stopping():
    with pytest.raises(ArgumentError, match="whether a small 'val_score' is good; pass mode"):
        EarlyStopping("val_score")
    with pytest.raises(ArgumentError, match="mode to be 'auto', 'min' or 'max', got 'largest'"):
        EarlyStopping(mode="largest")
    for patience in -1, 1.5, True, "3":
        with pytest.raises(ArgumentError, match="patience to be an integer of at least 0"):
            EarlyStopping(patience=patience)
    for delta in -1, math.nan, math.inf:
        with pytest.raises(ArgumentError, match="min_delta to be a finite number"):
            EarlyStopping(min_delta=delta)


def test_monitoring_what_is_not_recorded_fails_before_training():
    trainer = make(["accuracy"])
    with pytest.raises(
        ArgumentError,
        match="'val_loss', but .* only epoch, loss, accuracy, lr; pass validation_data or",
    ):
        trainer.fit(X, Y, callbacks=[EarlyStopping()])
    with pytest.raises(ArgumentError, match="'val_f1', but .* val_loss, val_accuracy, lr$"):
        trainer.fit(X, Y, validation_split=0.5, callbacks=[EarlyStopping("val_f1", mode="max")])
    assert trainer.optimizer.step_count == 0


@pytest.mark.parametrize(
    ("monitor", "right"),
    [("val_acc", "val_accuracy"), ("acc", "accuracy"), ("val_accuarcy", "val_accuracy"),
     ("val_mean_squared_error", "val_mse"), ("Loss", "loss")],
)  # fmt: skip
def test_a_monitor_of_another_framework_or_with_a_typo(monitor, right):
    with pytest.raises(ArgumentError, match=f"did you mean '{right}'"):
        EarlyStopping(monitor)
    model = npnet.Linear(3, 1)
    optimizer = npnet.optim.SGD(model.parameters(), lr=0.1)
    trainer = Trainer(model, npnet.MSELoss(), optimizer, ["accuracy", "mse"])
    stopping = EarlyStopping(monitor, mode="max")
    with pytest.raises(ArgumentError, match=f"records only .*; did you mean '{right}'"):
        trainer.fit(X, Y[:, np.newaxis], validation_split=0.5, callbacks=[stopping])


def test_arguments_of_keras_are_answered():
    with pytest.raises(SignatureError, match="unexpected keyword argument 'verbose'"):
        EarlyStopping(patience=3, verbose=1)
    with pytest.raises(NameTypoError, match="it is min_delta"):
        EarlyStopping().delta  # noqa: B018
    for bad in "no", 1, None, np.ones(2):
        with pytest.raises(ArgumentError, match="restore_best_weights to be True or False"):
            EarlyStopping(restore_best_weights=bad)
    for name in "ModelCheckpoint", "CSVLogger":
        assert not hasattr(npnet.training, name)
        with pytest.raises(NpnetError, match=f"has no attribute '{name}'; "):
            getattr(npnet.training, name)
    with pytest.raises(ImportError):
        from npnet.training import ModelCheckpoint  # noqa: F401
    with pytest.raises(ImportError):
        from npnet.training import Nonsense  # noqa: F401


@pytest.mark.parametrize(
    ("name", "function", "right"),
    [
        ("on_epoch_end", lambda self, epoch, logs=None: None, r"on_epoch_end\(self, trainer, logs"),
        ("on_epoch_begin", lambda self, epoch, logs=None: None, r"on_epoch_begin\(self, trainer\)"),
        ("on_train_begin", lambda self, logs=None: None, r"on_train_begin\(self, trainer\)"),
        ("on_batch_end", lambda self, trainer: None, r"on_batch_end\(self, trainer, loss\)"),
        ("on_train_end", lambda self: None, r"on_train_end\(self, trainer\)"),
    ],
)
def test_events_with_other_arguments_are_refused_when_the_class_is_written(name, function, right):
    with pytest.raises(SignatureError, match=f"Own.{name}.* would not get .*; write {right}"):
        type("Own", (Callback,), {name: function})


def test_events_may_take_more_than_they_are_given():
    class Wide(Callback):
        def on_epoch_end(self, trainer, logs, note="x"):
            self.note = note

        def on_batch_end(self, *args):
            self.args = args

        on_train_begin = staticmethod(print)

    wide = Wide()
    wide.on_train_begin = lambda trainer: None
    make().fit(X, Y, callbacks=[wide])
    assert wide.note == "x"
    assert len(wide.args) == 2


def test_functions_with_other_arguments_are_refused_before_training():
    trainer = make()
    with pytest.raises(SignatureError, match=r"called with \(trainer, logs\).*it takes \(logs\)"):
        trainer.fit(X, Y, callbacks=[lambda logs: None])
    with pytest.raises(ArgumentError, match="list of Callbacks"):
        trainer.fit(X, Y, callbacks="early_stopping")
    assert trainer.optimizer.step_count == 0


# --- the end of a training


class EndsBadly(Callback):
    def __init__(self, error, event="train end"):
        self.error, self.event = error, event

    def on_batch_end(self, trainer, loss):
        if self.event == "batch end":
            raise self.error

    def on_train_end(self, trainer):
        if self.event == "train end":
            raise self.error


def test_every_callback_gets_its_end_and_the_first_error_is_raised():
    first, second, recorder = ZeroDivisionError("one"), KeyError("two"), Recorder()
    trainer = make()
    with pytest.raises(ZeroDivisionError) as caught:
        trainer.fit(X, Y, callbacks=[EndsBadly(first), EndsBadly(second), recorder])
    assert caught.value is first
    assert caught.value.__notes__ == ["Then, as the training ended: KeyError: 'two'"]
    assert recorder.events[-1] == "train end"
    assert trainer.history["epoch"] == [1]
    assert not trainer.history.interrupted


def test_an_error_of_the_training_comes_before_those_of_its_end():
    recorder = Recorder()
    callbacks = [
        EndsBadly(KeyError("two")),
        EndsBadly(ZeroDivisionError("one"), "batch end"),
        recorder,
    ]
    with pytest.raises(ZeroDivisionError, match="one") as caught:
        make().fit(X, Y, callbacks=callbacks)
    assert "KeyError: 'two'" in caught.value.__notes__[0]
    assert recorder.events[-1] == "train end"


def test_an_interrupt_at_the_end_is_noted_and_the_others_get_theirs():
    recorder, trainer = Recorder(), make()
    history = trainer.fit(X, Y, callbacks=[EndsBadly(KeyboardInterrupt()), recorder])
    assert history.interrupted
    assert recorder.events[-1] == "train end"
    with pytest.raises(KeyError):
        trainer.fit(X, Y, callbacks=[EndsBadly(KeyboardInterrupt()), EndsBadly(KeyError("x"))])
    assert history.interrupted


@pytest.mark.parametrize("error", [ZeroDivisionError(), KeyboardInterrupt(), SystemExit()])
@pytest.mark.parametrize("event", ["train end", "batch end"])
def test_the_best_weights_are_put_back_whatever_another_callback_raises(error, event):
    best = []

    class Spoil(Callback):
        def on_epoch_begin(self, trainer):
            if len(trainer.history["epoch"]) == 1:
                best.append(trainer.model.state_dict())
                trainer.model.weight.data *= -50
                trainer.optimizer.lr = 0.0

        def on_batch_end(self, trainer, loss):
            if best and event == "batch end":
                raise error

        def on_train_end(self, trainer):
            if event == "train end":
                raise error

    trainer = make()
    stopping = EarlyStopping("loss", patience=10)
    with contextlib.suppress(type(error)):
        trainer.fit(X, Y, epochs=3, batch_size=10, callbacks=[Spoil(), stopping])
    assert stopping.best_epoch == 1
    for name, value in trainer.model.state_dict().items():
        assert np.array_equal(value, best[0][name])


def test_a_model_that_a_callback_has_spoilt_keeps_nobody_from_the_end():
    def spoil(trainer, logs):
        vars(trainer.model)["hidden"] = [npnet.Linear(2, 2)]

    recorder = Recorder()
    with pytest.raises(ArgumentError, match="would not be found, trained"):
        make().fit(X, Y, callbacks=[spoil, recorder])
    assert recorder.events[-1] == "train end"
