"""Callback, what watches and steers a training, and the ones that come with npnet."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from npnet.arguments import did_you_mean, function_name, instance, several, wrong_call
from npnet.configured import Configured
from npnet.errors import NameTypoError, SignatureError

if TYPE_CHECKING:
    from npnet.training.trainer import Trainer


class Callback:
    """Base of all callbacks: override what is needed, the rest does nothing.

    `Trainer.fit` calls, in this order: `on_train_begin`; for every epoch `on_epoch_begin`, for
    every batch (with ``accumulate``: for the batches of a step together) `on_backward_end` and
    `on_batch_end`, then `on_epoch_end`; and in any case, after Ctrl-C and errors too,
    `on_train_end`, that of every callback even if another's raises. A callback may read and change
    ``trainer.model`` and ``trainer.optimizer``, read ``trainer.history``, and call
    ``trainer.stop()``.

    Examples
    --------
    Gradient clipping, every fifth epoch in words:

    >>> import npnet
    >>> class Clip(Callback):
    ...     def on_backward_end(self, trainer):
    ...         npnet.optim.clip_grad_norm(trainer.model.parameters(), max_norm=1.0)
    ...     def on_epoch_end(self, trainer, logs):
    ...         if logs["epoch"] % 5 == 0:
    ...             print(f"epoch {logs['epoch']}: {logs['loss']:.3f}")
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Refuse methods that would never be called, or with other arguments than they take."""
        super().__init_subclass__(**kwargs)
        for name, method in vars(cls).items():
            if name.startswith("on_"):
                _check_event(cls.__name__, name, method)

    def on_train_begin(self, trainer: Trainer) -> None:
        """Before the first epoch of a call of `Trainer.fit`."""

    def on_epoch_begin(self, trainer: Trainer) -> None:
        """Before the first batch of an epoch."""

    def on_backward_end(self, trainer: Trainer) -> None:
        """Between the backward pass and the update: the place to inspect or clip gradients."""

    def on_batch_end(self, trainer: Trainer, loss: float) -> None:
        """After an update, with the loss of its batch; the gradients are still there."""

    def on_epoch_end(self, trainer: Trainer, logs: Mapping[str, float]) -> None:
        """After an epoch and its validation, with what the history has just recorded."""

    def on_train_end(self, trainer: Trainer) -> None:
        """After the last epoch, after `Trainer.stop`, after Ctrl-C, and after an error."""


def _check_event(owner: str, name: str, method: Any) -> None:
    """Refuse a method of a callback that is no event, or that does not take what it is given."""
    events = [event for event in vars(Callback) if event.startswith("on_")]
    if name not in events:
        hint = did_you_mean(name, events)
        text = f"{owner}.{name} is not an event; there are {', '.join(events)}"
        raise NameTypoError(f"{text}; {hint}" if hint else text)
    if not inspect.isfunction(method):
        return
    takes = list(inspect.signature(method).parameters)
    given = list(inspect.signature(getattr(Callback, name)).parameters)
    # In Keras the first argument is the number of the epoch or batch, or the logs.
    other = takes[1:2] in (["epoch"], ["batch"], ["logs"])
    if other or wrong_call(method, owner, given, {}):
        raise SignatureError(
            f"{owner}.{name}({', '.join(takes)}) would not get what it expects; "
            f"write {name}({', '.join(given)})"
        )


class FunctionCallback(Callback):
    """A plain function ``f(trainer, logs)``, called at the end of every epoch."""

    def __init__(self, function: Callable[[Trainer, Mapping[str, float]], object]) -> None:
        self.function = function

    def on_epoch_end(self, trainer: Trainer, logs: Mapping[str, float]) -> None:
        """Call it."""
        self.function(trainer, logs)


class TerminateOnNaN(Configured, Callback):
    """Stop at the first batch whose loss is NaN or infinite.

    References
    ----------
    ``keras.callbacks.TerminateOnNaN``.
    """

    def on_batch_end(self, trainer: Trainer, loss: float) -> None:
        """Look at the loss."""
        if not math.isfinite(loss):
            trainer.stop()


def as_callbacks(callbacks: Any) -> list[Callback]:
    """Turn the argument ``callbacks`` of `Trainer.fit` into callback objects."""
    kind = "a list of Callbacks and functions"
    given = several("Trainer.fit", "callbacks", callbacks, Callback, kind)
    return [_as_callback(callback) for callback in given]


def _as_callback(callback: Any) -> Callback:
    if isinstance(callback, Callback | type):
        found: Callback = instance("Trainer.fit", "a callback", callback, Callback)
        return found
    kind = "a Callback or a function f(trainer, logs)"
    function_name("Trainer.fit", "callback", callback, kind, "trainer", "logs")
    return FunctionCallback(callback)


def end_training(
    trainer: Trainer, callbacks: Iterable[Callback], errors: list[BaseException]
) -> None:
    """Call `on_train_end` of every callback, whatever the others raise.

    `errors` are what ended the training. The first one is raised, with those after it as its notes;
    a KeyboardInterrupt is not raised again but noted in the history.
    """
    for callback in callbacks:
        try:
            callback.on_train_end(trainer)
        except BaseException as error:
            errors.append(error)
    failures = [error for error in errors if not isinstance(error, KeyboardInterrupt)]
    trainer.history.interrupted |= len(failures) < len(errors)
    for later in failures[1:]:
        failures[0].add_note(f"Then, as the training ended: {type(later).__name__}: {later}")
    if failures:
        raise failures[0]


def overriding(callbacks: Iterable[Callback], event: str) -> list[Callable[..., None]]:
    """List the methods for an event that do something, so that batches pay for no others."""
    empty = getattr(Callback, event)
    return [getattr(c, event) for c in callbacks if getattr(type(c), event) is not empty]
