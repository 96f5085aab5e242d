"""Trainer, the training loop with everything around it: validation, metrics, callbacks, Ctrl-C."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from npnet.errors import ArgumentError, ShapeError
from npnet.layer import Layer
from npnet.losses import Loss
from npnet.ops import prepare
from npnet.optim.optimizer import Optimizer
from npnet.random import as_generator
from npnet.store import unique
from npnet.training.arguments import (
    PASS_ROWS,
    as_inputs,
    evaluation_feed,
    positive_integer,
    training_feeds,
)
from npnet.training.callbacks import Callback, as_callbacks, overriding
from npnet.training.feed import Feed
from npnet.training.history import History
from npnet.training.interrupt import DeferredInterrupt
from npnet.training.progress import Progress
from npnet.training.tally import Tally, as_metrics

if TYPE_CHECKING:
    from npnet.typing import Array, ArrayLike, Rng


class Trainer:
    """Train, evaluate and apply a model.

    Parameters
    ----------
    model : Layer
        With one output.
    loss : Loss
        With ``reduction="mean"`` or ``"sum"``; a sum is added up over the batches.
    optimizer : Optimizer
        Of the model's parameters, or of some of them.
    metrics : list of str, callable or Metric
        ``"accuracy"`` (see `Accuracy` for what it counts), ``"mae"``, ``"mse"``, ``"r2"``, and
        functions ``f(y_pred, y_true) -> float``. All are those of the whole set, whatever the
        batch size, and count every sample alike.

    Attributes
    ----------
    history : History
        Of all epochs trained so far.
    columns : tuple of str
        What the present or last training records.

    Raises
    ------
    ArgumentError
        If an argument is of the wrong kind, a metric is unknown, or the optimizer holds none of
        the model's parameters.

    Examples
    --------
    >>> import numpy as np, npnet
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(200, 2))
    >>> y = (x[:, 0] > x[:, 1]).astype(int)
    >>> model = npnet.Linear(2, 2)
    >>> optimizer = npnet.optim.SGD(model.parameters(), lr=0.5)
    >>> trainer = Trainer(model, npnet.CrossEntropyLoss(), optimizer, metrics=["accuracy"])
    >>> history = trainer.fit(x, y, epochs=5, validation_split=0.2, rng=0)
    >>> history["epoch"], len(history["val_accuracy"])
    ([1, 2, 3, 4, 5], 5)
    >>> trainer.evaluate(x, y)["accuracy"] > 0.9
    True
    >>> trainer.predict(x).shape
    (200, 2)
    """

    __slots__ = ("_metrics", "_stopping", "columns", "history", "loss", "model", "optimizer")

    def __init__(self, model: Layer, loss: Loss, optimizer: Optimizer, metrics: Any = ()) -> None:
        self.model: Layer = _expect(Layer, "model", model)
        self.loss: Loss = _expect(Loss, "loss", loss)
        self.optimizer: Optimizer = _expect(Optimizer, "optimizer", optimizer)
        if loss.reduction not in ("mean", "sum"):
            raise ArgumentError(
                f"the Trainer needs a loss that is one number, got {loss!r}; "
                "use reduction='mean' or 'sum'"
            )
        if set(optimizer.parameters).isdisjoint(model.parameters()):
            raise ArgumentError(
                "the optimizer holds none of the model's parameters; make it of this very model: "
                f"{type(optimizer).__name__}(model.parameters(), ...)"
            )
        self._metrics = as_metrics(metrics, loss)
        self._stopping = False
        self.history = History()
        self.columns: tuple[str, ...] = ()

    # --- training

    def fit(
        self,
        x: Any,
        y: ArrayLike | None = None,
        *,
        epochs: int = 1,
        batch_size: int | None = None,
        validation_data: Any = None,
        validation_split: float = 0.0,
        shuffle: bool | None = None,
        sample_weight: ArrayLike | None = None,
        callbacks: Any = (),
        progress: bool | None = None,
        rng: Rng = None,
    ) -> History:
        """Train for some epochs; called again, go on where the last call ended.

        An epoch's loss and metrics are means over its batches as they were trained on, with
        dropout and while the model changed; those of the validation are of the model at its end.
        A batch in which nothing counts (all weights 0, all labels ignored) is passed over.

        Ctrl-C ends the training after the batch in hand: complete epochs are in the history,
        ``history.interrupted`` is True, and the callbacks' `on_train_end` is called. A second
        Ctrl-C stops at once, be it amid an update.

        Parameters
        ----------
        x : array_like, shape (n, ...), a tuple of them, or an iterable of batches
            A tuple has one array for each input of the model. In place of `x` and `y` a
            `DataLoader` may be given, or anything that can be looped over once per epoch and
            gives (x, y) or (x, y, sample_weight).
        y : array_like, shape (n, ...)
            Targets, as the loss wants them.
        epochs : int
            How many more.
        batch_size : int, optional
            Samples per batch, 32 unless given. Not with an iterable of batches.
        validation_data : tuple (x, y) or (x, y, sample_weight), or iterable of batches, optional
            What the model is evaluated on after each epoch.
        validation_split : float
            The last fraction of the samples, before any shuffling, is used for that instead.
            Not with an iterable of batches.
        shuffle : bool, optional
            Whether to draw a new order for every epoch; True unless given. Not with an iterable
            of batches.
        sample_weight : array_like, shape (n,) or that of the loss's terms, optional
            Factors of the samples' losses. Not with an iterable of batches.
        callbacks : list of Callback or callable
            A function ``f(trainer, logs)`` is called at the end of every epoch.
        progress : bool, optional
            Whether to show a bar; unless given, it is shown if stderr is a terminal.
        rng : numpy.random.Generator, int or None
            Where shuffling and the model's training passes draw from: the same seed and the same
            initial weights give the same result, bit for bit.

        Returns
        -------
        History
            `Trainer.history`, with all epochs so far.

        Raises
        ------
        ArgumentError
            If an argument is out of range, or arguments contradict one another.
        DataError
            If the data is empty, or lengths differ.
        """
        epochs = positive_integer("epochs", epochs)
        generator = as_generator(rng)
        watchers = as_callbacks(() if callbacks is None else callbacks)
        feed, validation = training_feeds(
            x,
            y,
            epochs=epochs,
            batch_size=batch_size,
            validation_data=validation_data,
            validation_split=validation_split,
            shuffle=shuffle,
            sample_weight=sample_weight,
            rng=generator,
        )
        names = ("loss", *(metric.name for metric in self._metrics))
        val_names = () if validation is None else tuple(f"val_{name}" for name in names)
        self.columns = ("epoch", *names, *val_names, "lr")
        self._stopping = False
        history = self.history
        history.interrupted = False
        last = len(history["epoch"]) + epochs
        total = None if feed.batches is None else feed.batches * epochs
        prepare(self.model.dtype)  # before the bar starts to count the time
        bar = Progress(progress, total)
        with DeferredInterrupt() as interrupt:
            try:
                for watcher in watchers:
                    watcher.on_train_begin(self)
                for epoch in range(last - epochs + 1, last + 1):
                    bar.begin_epoch(epoch, last)
                    for watcher in watchers:
                        watcher.on_epoch_begin(self)
                    logs: dict[str, float] = {"epoch": epoch}
                    rate = self.optimizer.lr
                    logs |= self._train(feed, watchers, generator, interrupt, bar)
                    if validation is not None:
                        results = self._evaluate(validation, interrupt.check)
                        logs |= {f"val_{name}": value for name, value in results.items()}
                    logs["lr"] = rate
                    history.append(logs)
                    bar.end_epoch(logs)
                    for watcher in watchers:
                        watcher.on_epoch_end(self, dict(logs))
                    interrupt.check()
                    if self._stopping:
                        break
            except KeyboardInterrupt:
                history.interrupted = True
            finally:
                bar.close()
                for p in self._all_parameters():  # nothing is left over for somebody's own loop
                    p.zero_grad()
                for watcher in watchers:
                    watcher.on_train_end(self)
        history.interrupted |= interrupt.pending
        return history

    def stop(self) -> None:
        """Ask the running `fit` to end after the present batch.

        The epoch is closed with the batches it had: validated, recorded, shown to the callbacks.
        """
        self._stopping = True

    def _train(
        self,
        feed: Feed,
        watchers: list[Callback],
        generator: np.random.Generator,
        interrupt: DeferredInterrupt,
        bar: Progress,
    ) -> dict[str, float]:
        """Train for one epoch."""
        model, loss, optimizer = self.model, self.loss, self.optimizer
        parameters = self._all_parameters()
        before_update = overriding(watchers, "on_backward_end")
        after_update = overriding(watchers, "on_batch_end")
        tally = Tally(loss, self._metrics)
        for inputs, target, weight in feed:
            for p in parameters:  # also of those that the optimizer leaves alone
                p.zero_grad()
            pred, tape = model.record(*inputs, rng=generator)
            if isinstance(pred, tuple):
                raise _several_outputs(model)
            result = loss.evaluate(pred, target, sample_weight=weight)
            tally.add(result, pred, target)
            if result.weight:
                tape.backward(result.grad)
                for call in before_update:
                    call(self)
                optimizer.step()
                for call in after_update:
                    call(self, result.value)
            bar.advance(tally)
            interrupt.check()
            if self._stopping:
                break
        results = tally.results()
        if not math.isfinite(results["loss"]):
            self._warn_once(results["loss"])
        return results

    def _all_parameters(self) -> list[Any]:
        return unique([*self.model.parameters(), *self.optimizer.parameters])

    def _warn_once(self, loss: float) -> None:
        if all(map(math.isfinite, self.history.get("loss", []))):
            warnings.warn(
                f"the training loss is {loss}; a smaller learning rate, scaled inputs or gradient "
                "clipping may help, and callbacks=[TerminateOnNaN()] ends such a run",
                RuntimeWarning,
                stacklevel=4,
            )

    # --- applying

    def evaluate(
        self,
        x: Any,
        y: ArrayLike | None = None,
        *,
        batch_size: int | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> dict[str, float]:
        """Compute loss and metrics of the whole set, in evaluation mode.

        Parameters
        ----------
        x, y, sample_weight
            As for `fit`.
        batch_size : int, optional
            Samples per pass, 256 unless given; the result does not depend on it, but for
            rounding. Not with an iterable of batches.

        Returns
        -------
        dict of str to float
            ``"loss"`` and the metrics.

        Raises
        ------
        ArgumentError
            If an argument is out of range, or arguments contradict one another.
        DataError
            If the data is empty, or lengths differ.
        """
        return self._evaluate(evaluation_feed(x, y, batch_size, sample_weight))

    def predict(self, x: Any, *, batch_size: int | None = None) -> Any:
        """Compute the model's output, in evaluation mode.

        Parameters
        ----------
        x : array_like, shape (n, ...), or tuple of them
            No rows give an output with no rows.
        batch_size : int, optional
            Rows per pass, 256 unless given.

        Returns
        -------
        ndarray, shape (n, ...), or tuple of them
            A new array for each output of the model.

        Raises
        ------
        ArgumentError
            If `batch_size` is no positive integer.
        DataError
            If the inputs have different lengths.
        ShapeError
            If the output does not have a row for each row of the input.
        """
        rows = positive_integer("batch_size", batch_size, PASS_ROWS)
        inputs = as_inputs(x)
        count = len(inputs[0])
        parts = [
            self.model(*(array[start : start + rows] for array in inputs))
            for start in range(0, max(count, 1), rows)
        ]
        if isinstance(parts[0], tuple):
            return tuple(_join(outputs, count) for outputs in zip(*parts, strict=True))
        return _join(parts, count)

    def _evaluate(self, feed: Feed, check: Callable[[], None] | None = None) -> dict[str, float]:
        tally = Tally(self.loss, self._metrics)
        for inputs, target, weight in feed:
            pred = self.model(*inputs)
            if isinstance(pred, tuple):
                raise _several_outputs(self.model)
            result = self.loss.evaluate(pred, target, sample_weight=weight, with_grad=False)
            tally.add(result, pred, target)
            if check is not None:
                check()
        return tally.results()


def _join(parts: Any, count: int) -> Array:
    if any(part.ndim == 0 for part in parts) or sum(map(len, parts)) != count:
        shapes = ", ".join(str(part.shape) for part in parts[:3])
        raise ShapeError(
            f"expected one row of output for each of {count} rows of input, got shapes {shapes}; "
            "call the model itself"
        )
    return np.concatenate(parts)


def _several_outputs(model: Layer) -> ArgumentError:
    return ArgumentError(
        "the Trainer's loss compares one output with one target, but the model returned a tuple; "
        "train it in a loop with model.record(x)",
        model,
    )


def _expect(kind: type[Any], name: str, value: Any) -> Any:
    if isinstance(value, kind):
        return value
    if isinstance(value, type) and issubclass(value, kind):
        hint = f"the class {value.__name__}; pass {value.__name__}(...)"
    else:
        hint = f"a {type(value).__name__}"
    raise ArgumentError(f"Trainer expects a {kind.__name__} as {name}, got {hint}")
