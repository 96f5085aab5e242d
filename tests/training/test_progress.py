import io
import re
import subprocess
import sys

import numpy as np
import pytest

import npnet
from npnet.training import Trainer

pytest.importorskip("tqdm")

X = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
Y = (X[:, 0] > 0).astype(int)


class Stream(io.StringIO):
    def __init__(self, terminal):
        super().__init__()
        self.terminal = terminal

    def isatty(self):
        return self.terminal


def make():
    model = npnet.Linear(3, 2)
    optimizer = npnet.optim.SGD(model.parameters(), lr=0.1)
    return Trainer(model, npnet.CrossEntropyLoss(), optimizer, ["accuracy"])


@pytest.fixture
def shown(monkeypatch):
    def fit(terminal, *data, trainer=None, **options):
        stream = Stream(terminal)
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stderr", stream)
            history = (trainer or make()).fit(*data, **options)
        return stream.getvalue(), history

    return fit


@pytest.mark.parametrize(
    ("terminal", "progress", "expected"),
    [(True, None, True), (False, None, False), (False, True, True), (True, False, False)],
)
def test_when_a_bar_is_shown(shown, terminal, progress, expected):
    text, _ = shown(terminal, X, Y, progress=progress)
    assert bool(text) == expected


def test_the_bar_ends_with_the_last_epoch_s_results(shown):
    trainer = make()
    trainer.fit(X, Y)
    text, history = shown(
        True, X, Y, trainer=trainer, epochs=3, batch_size=10, validation_split=0.5
    )
    last = text.strip().split("\r")[-1]
    assert re.match(r"epoch 4/4: 100%.* 6/6 ", last)
    for name in "loss", "accuracy", "val_loss", "val_accuracy":
        assert f" {name} {history[name][-1]:.4g}" in last


def test_the_running_loss_is_shown_within_an_epoch(shown):
    """The bar draws itself some ten times a second; every batch of this source takes as long."""
    import time

    def slow():
        for _ in range(4):
            time.sleep(0.11)
            yield X, Y

    text, _ = shown(True, slow())
    lines = text.split("\r")
    assert any(re.search(r" [12]/\?| [23]batch ", line) and "loss" in line for line in lines), lines


def test_an_iterable_of_unknown_length_is_counted(shown):
    class Data:
        def __iter__(self):
            yield from [(X, Y)] * 3

    text, _ = shown(True, Data(), epochs=2)
    assert "6batch" in text


def test_the_bar_is_closed_where_training_stopped(shown):
    stop = lambda trainer, logs: trainer.stop()  # noqa: E731
    text, _ = shown(True, X, Y, epochs=10, batch_size=10, callbacks=[stop])
    assert re.match(r"epoch 1/10:  10%.* 4/40 ", text.strip().split("\r")[-1])
    assert text.endswith("\n")


def test_nothing_is_imported_or_written_where_nobody_looks():
    code = (
        "import sys, numpy as np, npnet\n"
        "from npnet.training import Trainer\n"
        "model = npnet.Linear(3, 1)\n"
        "trainer = Trainer(model, npnet.MSELoss(), npnet.optim.SGD(model.parameters()))\n"
        "trainer.fit(np.ones((9, 3)), np.ones((9, 1)))\n"
        "sys.stderr = None\n"
        "trainer.fit(np.ones((9, 3)), np.ones((9, 1)))\n"
        "heavy = {'tqdm', 'scipy', 'matplotlib', 'numba'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(npnet.__path__[0]) + "/..", "NPNET_OPS": "numpy"},
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
