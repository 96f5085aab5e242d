import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

import npnet
from npnet.training import Callback, EarlyStopping, Trainer

X = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
Y = (X[:, 0] > 0).astype(int)


def make():
    npnet.manual_seed(0)
    model = npnet.Sequential(npnet.Linear(3, 4), npnet.Linear(4, 2))
    return Trainer(model, npnet.CrossEntropyLoss(), npnet.optim.SGD(model.parameters(), lr=0.1))


class At(Callback):
    """Do something at an event, the n-th time."""

    def __init__(self, event, number, action):
        self.event, self.left, self.action = event, number, action
        self.ended = 0

    def _count(self, event):
        if event == self.event:
            self.left -= 1
            if self.left == 0:
                self.action()

    def on_epoch_begin(self, trainer):
        self._count("epoch begin")

    def on_backward_end(self, trainer):
        self._count("backward end")

    def on_batch_end(self, trainer, loss):
        self._count("batch end")

    def on_epoch_end(self, trainer, logs):
        self._count("epoch end")

    def on_train_end(self, trainer):
        self.ended += 1
        self._count("train end")


def ctrl_c():
    signal.raise_signal(signal.SIGINT)


def raise_interrupt():
    raise KeyboardInterrupt


@pytest.fixture(autouse=True)
def _handler_is_restored():
    """Python's handler is in charge, also where the tests run with the signal ignored."""
    outer = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, outer)


@pytest.mark.parametrize(
    ("event", "number", "steps", "epochs"),
    [
        ("epoch begin", 1, 1, 0),  # the batch is done first
        ("backward end", 1, 1, 0),
        ("backward end", 6, 6, 1),
        ("batch end", 6, 6, 1),
        ("epoch end", 1, 4, 1),
        ("epoch end", 3, 12, 3),
        ("train end", 1, 12, 3),
    ],
)
def test_ctrl_c_ends_after_the_batch(event, number, steps, epochs):
    trainer, whole = make(), make()
    at = At(event, number, ctrl_c)
    history = trainer.fit(X, Y, epochs=3, batch_size=10, callbacks=[at], rng=0)
    assert history.interrupted
    assert at.ended == 1
    assert trainer.optimizer.step_count == steps
    assert history["epoch"] == list(range(1, epochs + 1))
    assert all(len(column) == epochs for column in history.values())
    # Not half an update more or less than so many whole ones.
    stop = At("batch end", steps, whole.stop)
    whole.fit(X, Y, epochs=3, batch_size=10, callbacks=[stop], rng=0)
    for p, q in zip(trainer.model.parameters(), whole.model.parameters(), strict=True):
        assert np.array_equal(p.data, q.data)


def test_training_goes_on_after_an_interruption():
    trainer = make()
    trainer.fit(X, Y, epochs=3, callbacks=[At("epoch end", 2, ctrl_c)])
    history = trainer.fit(X, Y, epochs=2)
    assert history["epoch"] == [1, 2, 3, 4]
    assert not history.interrupted


@pytest.mark.parametrize(
    ("event", "steps", "epochs"),
    [("epoch begin", 4, 1), ("backward end", 1, 0), ("batch end", 2, 0)],
)
def test_an_interrupt_raised_by_a_callback_ends_cleanly(event, steps, epochs):
    trainer = make()
    at = At(event, 2, raise_interrupt)
    history = trainer.fit(X, Y, epochs=3, batch_size=10, callbacks=[at])
    assert (history.interrupted, at.ended) == (True, 1)
    assert trainer.optimizer.step_count == steps
    assert len(history["epoch"]) == epochs


def test_an_interrupt_raised_by_the_data_ends_cleanly():
    class Data:
        def __iter__(self):
            yield X, Y
            raise KeyboardInterrupt

    at = At("", 1, None)
    history = make().fit(Data(), epochs=2, callbacks=[at])
    assert (history.interrupted, at.ended, history["epoch"]) == (True, 1, [])


def test_an_interrupt_during_validation_ends_cleanly():
    validations = []

    class Data:
        def __iter__(self):
            validations.append(0)
            for _ in range(3):
                validations[-1] += 1
                if len(validations) == 2:
                    ctrl_c()
                yield X, Y

    history = make().fit(X, Y, epochs=3, validation_data=Data())
    assert history.interrupted
    assert history["epoch"] == [1]
    assert validations == [3, 1]


def test_the_best_weights_are_restored_after_an_interruption():
    trainer = make()
    best = []

    class Spoil(Callback):
        def on_epoch_end(self, trainer, logs):
            if logs["epoch"] == 1:
                best.append(trainer.model.state_dict())
                trainer.optimizer.lr = 1e3

    stopping = EarlyStopping("loss", patience=10)
    with np.errstate(all="ignore"):
        trainer.fit(
            X,
            Y,
            epochs=9,
            batch_size=10,
            callbacks=[Spoil(), stopping, At("batch end", 10, ctrl_c)],
        )
    assert trainer.history.interrupted
    assert stopping.best_epoch == 1
    for name, value in trainer.model.state_dict().items():
        assert np.array_equal(value, best[0][name])


def test_a_second_ctrl_c_stops_at_once():
    trainer = make()

    def twice():
        ctrl_c()
        ctrl_c()
        raise AssertionError("the second one raises")

    at = At("backward end", 3, twice)
    history = trainer.fit(X, Y, epochs=3, batch_size=10, callbacks=[at])
    assert (history.interrupted, at.ended) == (True, 1)
    assert trainer.optimizer.step_count == 2


def test_somebody_else_s_handler_is_left_alone():
    seen = []
    handler = lambda number, frame: seen.append(number)  # noqa: E731
    before = signal.signal(signal.SIGINT, handler)
    try:
        history = make().fit(X, Y, epochs=2, callbacks=[At("backward end", 1, ctrl_c)])
        assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert seen == [signal.SIGINT]
    assert not history.interrupted
    assert history["epoch"] == [1, 2]


def test_where_the_signal_is_ignored_training_goes_on():
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in a background job of a shell
    history = make().fit(X, Y, epochs=2, callbacks=[At("backward end", 1, ctrl_c)])
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    assert not history.interrupted
    assert history["epoch"] == [1, 2]
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_the_handler_is_restored_after_an_error():
    with pytest.raises(ZeroDivisionError):
        make().fit(X, Y, callbacks=[At("batch end", 1, lambda: 1 / 0)])


def test_training_in_another_thread():
    histories = []
    thread = threading.Thread(target=lambda: histories.append(make().fit(X, Y, epochs=2)))
    thread.start()
    thread.join()
    assert histories[0]["epoch"] == [1, 2]


def test_a_signal_from_outside_ends_a_script_s_training(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        """
import numpy as np
from npnet import CrossEntropyLoss, Linear, optim
from npnet.training import Callback, Trainer

class Tell(Callback):
    def on_epoch_end(self, trainer, logs):
        if logs["epoch"] == 3:
            print("running", flush=True)

x = np.ones((64, 3))
model = Linear(3, 2)
trainer = Trainer(model, CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1))
history = trainer.fit(x, np.zeros(64, int), epochs=10**9, callbacks=[Tell()])
assert len(history["loss"]) == len(history["epoch"]) >= 3
print("interrupted" if history.interrupted else "complete")
"""
    )
    with subprocess.Popen(
        [sys.executable, "-W", "error", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": str(npnet.__path__[0]) + "/..", "NPNET_OPS": "numpy"},
    ) as process:
        try:
            assert process.stdout.readline() == "running\n", process.stderr.read()
            os.kill(process.pid, signal.SIGINT)
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (out, err, process.returncode) == ("interrupted\n", "", 0)
