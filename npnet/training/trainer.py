"""Trainer, the training loop with everything around it: validation, metrics, callbacks, Ctrl-C."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from npnet.arguments import checked_call, instance, several, whole_number
from npnet.configured import Configured
from npnet.data.batches import BatchSource, evaluation_source, input_batches, training_sources
from npnet.errors import ArgumentError, NpnetError, ShapeError, TargetError
from npnet.layer import Layer
from npnet.losses import Loss
from npnet.ops import prepare
from npnet.optim.optimizer import Optimizer
from npnet.random import LazyGenerator, as_seed
from npnet.store import unique
from npnet.training.advice import Advice
from npnet.training.callbacks import Callback, as_callbacks, end_training
from npnet.training.checks import count_epochs, unreached, untrained
from npnet.training.class_weight import ClassWeights
from npnet.training.history import History
from npnet.training.interrupt import DeferredInterrupt
from npnet.training.metric_tracker import MetricTracker, as_metrics
from npnet.training.metrics import Metric
from npnet.training.progress import Progress
from npnet.training.updates import (
    TrainingBatches,
    Update,
    as_averaged,
    as_penalties,
    refuse_others,
    total,
)

if TYPE_CHECKING:
    from npnet.typing import Array, ArrayLike, Rng

_PARTS: dict[str, tuple[type[Any], str]] = {
    "model": (Layer, "several layers make one model: npnet.Sequential(*layers)"),
    "loss": (Loss, "such as npnet.CrossEntropyLoss()"),
    "optimizer": (Optimizer, "such as npnet.optim.Adam(model.parameters(), lr=1e-3)"),
}

_CHECKS: dict[str, Callable[[str, Any], Any]] = {"averaged": as_averaged, "penalties": as_penalties}

_KEYWORDS = {
    "verbose": "the bar is shown or hidden by progress=True or progress=False",
    "gradient_accumulation_steps": "it is accumulate",
    "steps_per_epoch": "an epoch is all of the data",
    "validation_batch_size": "validation takes 256 rows at a time",
    "nb_epoch": "it is epochs",
    "initial_epoch": "fit goes on where the last call ended",
    "lr": "the optimizer has the rate",
    "loss": "it is an argument of the constructor",
    "metrics": "it is an argument of the constructor",
    "optimizer": "it is an argument of the constructor",
}


class Trainer(Configured):
    """Train, evaluate and apply a model.

    Parameters
    ----------
    model : Layer
        Its outputs are the loss's predictions, in order.
    loss : Loss
        With a reduction other than ``"none"``; a sum is added up over the batches.
    optimizer : Optimizer
        Of the model's parameters, or of some of them; the others are frozen on purpose, by
        `Layer.requires_grad_`.
    metrics : list of str, callable or Metric
        ``"accuracy"`` (see `Accuracy` for what it counts), ``"mae"``, ``"mse"``, ``"r2"``, and
        functions ``f(y_pred, y_true) -> float``. All are those of the whole set, whatever the
        batch size, and count every sample alike. Where there are several predictions or targets,
        they see the first of each.
    averaged : AveragedModel, optional
        An average of the model, brought up to date after each step by
        ``averaged.update_parameters(model)``. Validation, `evaluate` and `predict` use it in place
        of the model.
    penalties : list of Penalty
        Added to the loss, as those of `npnet.penalties`: ``penalty()`` is the value of one, and
        ``penalty.backward()`` adds its gradient. All losses that are reported contain them, those
        of a training in the mean over its steps; beside an average, too, they are of the model.

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

    habits: ClassVar[Mapping[str, str]] = {
        "train": "trainer.fit(x, y, epochs=10) trains",
        "fit_generator": "fit takes an iterable of batches: trainer.fit(loader)",
        "train_on_batch": "trainer.fit([(x, y)]) trains on one batch",
        "compile": "the constructor takes all: Trainer(model, loss, optimizer, metrics=[...])",
        "test": "trainer.evaluate(x, y) computes loss and metrics",
        "validate": "trainer.evaluate(x, y) computes loss and metrics",
        "score": "trainer.evaluate(x, y) computes loss and metrics",
        "eval": "the mode belongs to the call: fit trains, evaluate and predict do not",
        "predict_proba": "npnet.Softmax()(trainer.predict(x)) makes probabilities of logits",
        "predict_classes": "trainer.predict(x).argmax(axis=1) are the classes",
        "summary": "trainer.model.summary(input_shape) has it",
        "save": "npnet.save_weights(trainer.model, path)",
        "save_weights": "npnet.save_weights(trainer.model, path)",
        "load_weights": "npnet.load_weights(trainer.model, path)",
        "state_dict": "trainer.model and trainer.optimizer have one each",
        "callbacks": "fit takes them: trainer.fit(x, y, callbacks=[...])",
        "epochs": "fit takes it: trainer.fit(x, y, epochs=10)",
        "verbose": "fit takes progress=True or progress=False",
    }  # fmt: skip

    def __init__(
        self,
        model: Layer,
        loss: Loss,
        optimizer: Optimizer,
        metrics: Any = (),
        averaged: Any = None,
        penalties: Any = (),
    ) -> None:
        self._advice = Advice(self)
        self.model: Layer = model
        self.loss: Loss = loss
        self.optimizer: Optimizer = optimizer
        self.averaged = averaged
        self.penalties = penalties
        kind = "a list of names, functions and Metrics"
        self.metrics = several("Trainer", "metrics", metrics, str | Metric, kind)
        if loss.reduction == "none":
            raise ArgumentError(
                f"the Trainer needs a loss that is one number, got {loss!r}; "
                "use reduction='mean' or 'sum'"
            )
        untrained(model, optimizer)
        refuse_others("Trainer", self.penalties, self._parameters())
        as_metrics(self.metrics, loss)
        self.history = History()
        self.columns: tuple[str, ...] = ()
        self._stopping = False

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _PARTS:
            value = instance(self, name, value, *_PARTS[name])
            self._advice.forget_outputs()
        elif name in _CHECKS:
            value = _CHECKS[name]("Trainer", value)
        super().__setattr__(name, value)

    # --- training

    @checked_call("Trainer.fit", _KEYWORDS)
    def fit(
        self,
        x: Any,
        y: Any = None,
        *,
        epochs: int = 1,
        batch_size: int | None = None,
        validation_data: Any = None,
        validation_split: float = 0.0,
        shuffle: bool | None = None,
        sample_weight: ArrayLike | None = None,
        class_weight: Any = None,
        accumulate: int = 1,
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

        A warning tells, once, of parameters that would not train by mistake, of a last layer that
        does not fit the loss, and of a loss that is not finite.

        Parameters
        ----------
        x : array_like, shape (n, ...), a tuple of them, or an iterable of batches
            A tuple has one array for each input of the model. In place of `x` and `y` a
            `DataLoader` may be given, or anything that can be looped over once per epoch and
            gives (x, y) or (x, y, sample_weight).
        y : array_like, shape (n, ...), or tuple of them
            Targets, as the loss wants them: a tuple for a loss that takes several.
        epochs : int
            How many more. A schedule made by `npnet.schedules.per_epoch` without a number of steps
            is told how many an epoch has.
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
        class_weight : dict of int to float, or array_like, shape (num_classes,), optional
            Factors of the classes, 1 for those that a dictionary lacks; not for the validation. A
            term of the loss gets the factor of its target's class, and where the target is
            probabilities of classes, that of the most likely one. It multiplies the sample weight,
            and the loss's own weight of the class if it has one; a mean divides by the sum of
            these products.
        accumulate : int
            How many batches make one step of the optimizer, with the gradient of one large batch:
            of a mean each has the share that its weight has in the sum of theirs (the number of
            samples, or the sum of the weights that its mean divides by); sums are added. What is
            left over at an epoch's end makes a step of its own; after Ctrl-C it makes none. Layers
            that look at a whole batch, and what is drawn at random, see the small ones.
        callbacks : list of Callback or callable
            A function ``f(trainer, logs)`` is called at the end of every epoch.
        progress : bool, optional
            Whether to show a bar; unless given, it is shown if stderr is a terminal.
        rng : numpy.random.Generator, int or None
            An integer is the seed; from a generator, npnet's default one for None, one is drawn.
            The order of an epoch, and what the model draws for a batch, depend on the seed, the
            epoch's number in the history and the batch's number alone (see
            `npnet.random.generator_at`), so that ``fit(epochs=4, rng=0)`` and twice
            ``fit(epochs=2, rng=0)`` give the same result, bit for bit. A `DataLoader` has a seed
            of its own for its orders.

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
        epochs = whole_number("Trainer.fit", "epochs", epochs, 1)
        seed = as_seed(rng)
        accumulate = whole_number("Trainer.fit", "accumulate", accumulate, 1)
        weights = None if class_weight is None else ClassWeights(class_weight, self.loss)
        watchers = as_callbacks(() if callbacks is None else callbacks)
        metrics = as_metrics(self.metrics, self.loss)
        source, validation = training_sources(
            x, y, epochs=epochs, batch_size=batch_size, validation_data=validation_data,
            validation_split=validation_split, shuffle=shuffle, sample_weight=sample_weight,
            seed=seed,
        )  # fmt: skip
        advice, steps = self._advice, source.steps_per_epoch
        advice.warn_once(count_epochs(self.optimizer, steps and -(-steps // accumulate)))
        names = ("loss", *(metric.name for metric in metrics))
        val_names = () if validation is None else tuple(f"val_{name}" for name in names)
        self.columns = ("epoch", *names, *val_names, "lr")
        self._stopping = False
        history = self.history
        history.interrupted = False
        last = len(history["epoch"]) + epochs
        bar = Progress(progress, None if steps is None else steps * epochs)
        errors: list[BaseException] = []
        users = (*dict(self.model.named_layers()).values(), self.loss, self.optimizer)
        prepare(self.model.dtype, *users)  # before the bar starts to count the time
        batches = TrainingBatches(source, accumulate, weights)
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
                    draws = LazyGenerator(seed, epoch)
                    logs |= self._train(batches, metrics, watchers, draws, interrupt, bar)
                    if validation is not None:
                        results = self._evaluate(validation, metrics, "validation ", interrupt)
                        logs |= {f"val_{name}": value for name, value in results.items()}
                    logs["lr"] = rate
                    history.append(logs)
                    bar.end_epoch(logs)
                    for watcher in watchers:
                        watcher.on_epoch_end(self, dict(logs))
                    interrupt.check()
                    if self._stopping:
                        break
            except BaseException as error:
                errors.append(error)
            try:
                bar.close()
                for p in self._parameters():  # nothing is left over for somebody's own loop
                    p.zero_grad()
            except NpnetError as error:  # a callback has spoilt the model
                errors.append(error)
            end_training(self, watchers, errors)
        history.interrupted |= interrupt.pending
        return history

    def stop(self) -> None:
        """Ask the running `fit` to end after the present batch.

        The epoch is closed with the batches it had: validated, recorded, shown to the callbacks.
        """
        self._stopping = True

    def _train(
        self,
        batches: TrainingBatches,
        metrics: list[Metric],
        watchers: list[Callback],
        draws: LazyGenerator,
        interrupt: DeferredInterrupt,
        bar: Progress,
    ) -> dict[str, float]:
        """Train for one epoch, the number of which `draws` knows."""
        model, advice, isfinite = self.model, self._advice, math.isfinite
        source, accumulate, class_weights = batches
        tracker = MetricTracker(self.loss, metrics)
        update = Update(self, advice.checked_parameters(self._parameters()), watchers, tracker)
        due = True
        for step, batch in enumerate(source.epoch(draws.epoch)):
            if due:
                update.begin()
            inputs, target, weight = batch
            if class_weights is not None:
                weight = class_weights(target, weight)
            outputs, tape = model.record(*inputs, rng=draws.at(step))
            if not advice.knows_outputs():
                advice.check_outputs(outputs, tape)
            try:
                result = tracker.add(outputs, target, weight)
            except TargetError as error:
                raise advice.located(error, source, batch, tracker) from None
            if result.weight:
                if not isfinite(result.value):
                    advice.explain_loss(result.value, "training ", source, batch, tracker)
                update.add(tape, result)
                if step == 0:
                    advice.warn_once(unreached(model))
            due = (step + 1) % accumulate == 0
            if due:
                update.step()
            bar.advance(tracker)
            if interrupt.pending:
                raise KeyboardInterrupt
            if self._stopping:
                break
        if not due:
            update.step()
        if not tracker.weight:
            reason = "all sample weights are 0, or all labels are ignored"
            advice.warn_once(f"the training loss is nan: {reason}")
        return tracker.results()

    # --- applying

    @checked_call("Trainer.evaluate", _KEYWORDS)
    def evaluate(
        self,
        x: Any,
        y: Any = None,
        *,
        batch_size: int | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> dict[str, float]:
        """Compute loss and metrics of the whole set, in evaluation mode.

        Of the averaged model, if the trainer has one; the loss contains the penalties.

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
        source = evaluation_source(x, y, batch_size, sample_weight)
        return self._evaluate(source, as_metrics(self.metrics, self.loss), "")

    @checked_call("Trainer.predict", _KEYWORDS)
    def predict(self, x: Any, *, batch_size: int | None = None) -> Any:
        """Compute the model's output, in evaluation mode; the averaged one's, if there is one.

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
        batches = input_batches(x, batch_size)
        count = sum(inputs[0].shape[0] for inputs in batches)
        parts = [self._applied(*inputs) for inputs in batches]
        if isinstance(parts[0], tuple):
            return tuple(_join(outputs, count) for outputs in zip(*parts, strict=True))
        return _join(parts, count)

    def _evaluate(
        self,
        source: BatchSource,
        metrics: list[Metric],
        what: str,
        interrupt: DeferredInterrupt | None = None,
    ) -> dict[str, float]:
        tracker, advice = MetricTracker(self.loss, metrics), self._advice
        for batch in source.epoch(1):
            inputs, target, weight = batch
            if self.averaged is not None or advice.knows_outputs():
                outputs = self._applied(*inputs)
            else:
                outputs, tape = self.model.record(*inputs, training=False)
                advice.check_outputs(outputs, tape)
            try:
                result = tracker.add(outputs, target, weight, with_grad=False)
            except TargetError as error:
                raise advice.located(error, source, batch, tracker) from None
            if result.weight and not math.isfinite(result.value):
                advice.explain_loss(result.value, what, source, batch, tracker)
            if interrupt is not None:
                interrupt.check()
        tracker.add_penalty(total(self.penalties), tracker.weight)
        return tracker.results()

    @property
    def _applied(self) -> Any:
        """What computes predictions: the averaged model, if there is one."""
        return self.model if self.averaged is None else self.averaged

    def _parameters(self) -> list[Any]:
        return unique([*self.model.parameters(), *self.optimizer.parameters])


def _join(parts: Any, count: int) -> Array:
    if any(part.ndim == 0 for part in parts) or sum(map(len, parts)) != count:
        shapes = ", ".join(str(part.shape) for part in parts[:3])
        raise ShapeError(
            f"expected one row of output for each of {count} rows of input, got shapes {shapes}; "
            "call the model itself"
        )
    return np.concatenate(parts)
