"""Callbacks that watch one column of the history: EarlyStopping and ReduceLROnPlateau."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from npnet.arguments import choice, flag, real_number, refusal, whole_number
from npnet.configured import Configured
from npnet.errors import ArgumentError
from npnet.training.callbacks import Callback
from npnet.training.names import suggest

if TYPE_CHECKING:
    from npnet.training.trainer import Trainer
    from npnet.typing import Array


class Monitor(Configured, Callback):
    """Base of callbacks that compare a column of the history with its best value so far."""

    _MODES: ClassVar[dict[str, str]] = {
        "loss": "min", "mae": "min", "mse": "min", "accuracy": "max", "r2": "max",
    }  # fmt: skip

    monitor: str
    mode: str
    best: float | None

    def _watch(self, monitor: str, mode: str) -> None:
        """Check and keep what is watched; "auto" becomes the mode of the column."""
        if not isinstance(monitor, str):
            raise refusal(self, "monitor", "the name of a column of the history", monitor)
        if choice(self, "mode", mode, ("auto", "min", "max")) == "auto":
            mode = self._MODES.get(monitor.removeprefix("val_"), "")
            if not mode:
                names = [prefix + name for name in self._MODES for prefix in ("", "val_")]
                hint = suggest(monitor, names) or "pass mode='min' or 'max'"
                kind = type(self).__name__
                raise ArgumentError(
                    f"{kind} does not know whether a small {monitor!r} is good; {hint}"
                )
        self.monitor = monitor
        self.mode = mode

    def _begin(self) -> None:
        """Forget the last training."""
        raise NotImplementedError

    def on_train_begin(self, trainer: Trainer) -> None:
        """Start anew."""
        self._begin()
        if self.monitor not in trainer.columns:
            missing_data = self.monitor.startswith("val_") and "val_loss" not in trainer.columns
            hint = "pass validation_data or validation_split" if missing_data else ""
            hint = hint or suggest(self.monitor, trainer.columns)
            raise ArgumentError(
                f"{type(self).__name__} monitors {self.monitor!r}, but this training records only "
                f"{', '.join(trainer.columns)}{hint and '; ' + hint}"
            )


class EarlyStopping(Monitor):
    """Stop when a monitored value has not improved for some epochs.

    Parameters
    ----------
    monitor : str
        A column of the history.
    patience : int
        Stop after this many epochs in a row without an improvement; 0 is like 1.
    min_delta : float
        An improvement is a change by more than this.
    mode : {"auto", "min", "max"}
        Whether smaller or larger is better. ``"auto"`` knows the loss and the built-in metrics.
    restore_best_weights : bool
        Put back the parameters and buffers of the best epoch when training ends, for whatever
        reason: the model's, and those of the trainer's averaged model. The optimizer's state is
        left as it is.

    Attributes
    ----------
    best : float or None
        The best value of the last training.
    best_epoch : int or None
        When it was reached.
    stopped_epoch : int or None
        When training was stopped, None if it was not.

    Raises
    ------
    ArgumentError
        If an argument is out of range; in `Trainer.fit`, if there is no such column.

    References
    ----------
    ``keras.callbacks.EarlyStopping``.

    Examples
    --------
    >>> EarlyStopping("val_accuracy", patience=5, restore_best_weights=False)
    EarlyStopping(monitor='val_accuracy', patience=5, min_delta=0.0, mode='max', \
restore_best_weights=False)
    """

    habits: ClassVar[Mapping[str, str]] = {
        "verbose": "it says nothing while it works; its stopped_epoch tells when it stopped",
        "baseline": "it compares with the best epoch so far",
        "start_from_epoch": "it watches from the first epoch",
        "delta": "it is min_delta",
    }

    def __init__(
        self,
        monitor: str = "val_loss",
        patience: int = 0,
        min_delta: float = 0.0,
        mode: str = "auto",
        restore_best_weights: bool = True,
    ) -> None:
        self._watch(monitor, mode)
        self.patience = whole_number(self, "patience", patience, 0)
        self.min_delta = real_number(self, "min_delta", min_delta, 0)
        self.restore_best_weights = flag(self, "restore_best_weights", restore_best_weights)
        self._begin()

    def _begin(self) -> None:
        self.best: float | None = None
        self.best_epoch: int | None = None
        self.stopped_epoch: int | None = None
        self._waited = 0
        self._weights: list[dict[str, Array]] = []

    def on_epoch_end(self, trainer: Trainer, logs: Mapping[str, float]) -> None:
        """Compare with the best epoch."""
        value = logs[self.monitor]
        if self._improves(value):
            self.best, self.best_epoch, self._waited = value, int(logs["epoch"]), 0
            if self.restore_best_weights:
                self._weights = [part.state_dict() for part in _trained(trainer)]
            return
        self._waited += 1
        if self._waited >= self.patience:
            self.stopped_epoch = int(logs["epoch"])
            trainer.stop()

    def _improves(self, value: float) -> bool:
        if self.best is None:
            return math.isfinite(value)
        gain = value - self.best if self.mode == "max" else self.best - value
        return gain > self.min_delta

    def on_train_end(self, trainer: Trainer) -> None:
        """Put back the best weights."""
        for part, weights in zip(_trained(trainer), self._weights, strict=False):
            part.load_state_dict(weights)
        self._weights = []


def _trained(trainer: Trainer) -> list[Any]:
    """List what a training changes: the model, and the average of it if there is one."""
    return [trainer.model] if trainer.averaged is None else [trainer.model, trainer.averaged]


class ReduceLROnPlateau(Monitor):
    """Lower the learning rate when a monitored value has not improved for some epochs.

    The rate of each parameter group becomes ``max(factor * rate, min_lr)``, where that is lower by
    more than `eps`. The rates must be numbers, not schedules. A call of `Trainer.fit` starts anew
    with the best value and the count, not with the rates.

    Parameters
    ----------
    monitor : str
        A column of the history.
    mode : {"auto", "min", "max"}
        Whether smaller or larger is better. ``"auto"`` knows the loss and the built-in metrics.
    factor : float
        By what a rate is multiplied, at least 0 and below 1.
    patience : int
        How many epochs in a row without an improvement are tolerated; the next one lowers the
        rate.
    threshold : float
        What an improvement is, at least 0: in mode ``"min"`` a value below ``best * (1 -
        threshold)`` or ``best - threshold``, in mode ``"max"`` above ``best * (1 + threshold)``
        or ``best + threshold``. So a best value of 0, or below, is not as in ``"abs"``.
    threshold_mode : {"rel", "abs"}
        Which of the two.
    cooldown : int
        How many epochs are not counted after the rate was lowered.
    min_lr : float or list of float
        The lowest rate, or one for each parameter group; at least 0.
    eps : float
        A change by less than this, or as much, is not made.

    Attributes
    ----------
    best : float or None
        The best value of the last training.
    reductions : list of int
        The epochs of the last training after which a rate was lowered.

    Raises
    ------
    ArgumentError
        If an argument is out of range; in `Trainer.fit`, if there is no such column, or a rate is
        a schedule.

    References
    ----------
    ``torch.optim.lr_scheduler.ReduceLROnPlateau``, ``keras.callbacks.ReduceLROnPlateau``.

    Examples
    --------
    >>> ReduceLROnPlateau("val_accuracy", factor=0.5, patience=3).mode
    'max'
    """

    habits: ClassVar[Mapping[str, str]] = {
        "verbose": "it says nothing while it works; its reductions tell the epochs",
        "min_delta": "it is threshold, with threshold_mode='abs'",
        "epsilon": "it is threshold, with threshold_mode='abs'",
        "optimizer": "it is a callback: fit(x, y, callbacks=[ReduceLROnPlateau('val_loss')])",
        "step": "it is a callback: fit(x, y, callbacks=[ReduceLROnPlateau('val_loss')])",
    }

    def __init__(
        self,
        monitor: str = "val_loss",
        mode: str = "auto",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | list[float] = 0.0,
        eps: float = 1e-8,
    ) -> None:
        if hasattr(monitor, "param_groups"):
            hint = "fit calls it with the optimizer: callbacks=[ReduceLROnPlateau('val_loss')]"
            raise refusal(self, "monitor", "the name of a column of the history", monitor, hint)
        self._watch(monitor, mode)
        self.factor = real_number(self, "factor", factor, 0, below=1)
        self.patience = whole_number(self, "patience", patience, 0)
        self.threshold = real_number(self, "threshold", threshold, 0)
        self.threshold_mode = choice(self, "threshold_mode", threshold_mode, ("rel", "abs"))
        self.cooldown = whole_number(self, "cooldown", cooldown, 0)
        if isinstance(min_lr, list | tuple):
            given = enumerate(min_lr)
            self.min_lr: Any = [real_number(self, f"min_lr[{i}]", v, 0) for i, v in given]
        else:
            self.min_lr = real_number(self, "min_lr", min_lr, 0)
        self.eps = real_number(self, "eps", eps, 0)
        self._begin()

    def _begin(self) -> None:
        self.best: float | None = None
        self.reductions: list[int] = []
        self._bad_epochs = 0
        self._cooling = 0

    def on_train_begin(self, trainer: Trainer) -> None:
        """Start anew."""
        super().on_train_begin(trainer)
        groups = trainer.optimizer.param_groups
        if any(callable(group["lr"]) for group in groups):
            raise ArgumentError(
                "ReduceLROnPlateau changes rates that are numbers, and the optimizer's is a "
                "schedule; take one of the two"
            )
        if isinstance(self.min_lr, list) and len(self.min_lr) != len(groups):
            raise ArgumentError(
                f"ReduceLROnPlateau has {len(self.min_lr)} lowest rates, and the optimizer has "
                f"{len(groups)} parameter groups"
            )

    def on_epoch_end(self, trainer: Trainer, logs: Mapping[str, float]) -> None:
        """Compare with the best epoch; lower the rates if it is long ago."""
        value = logs[self.monitor]
        if self._improves(value):
            self.best, self._bad_epochs = value, 0
        else:
            self._bad_epochs += 1
        if self._cooling:
            self._cooling -= 1
            self._bad_epochs = 0
        if self._bad_epochs > self.patience:
            if self._reduce(trainer):
                self.reductions.append(int(logs["epoch"]))
            self._cooling, self._bad_epochs = self.cooldown, 0

    def _improves(self, value: float) -> bool:
        if self.best is None:
            return math.isfinite(value)
        margin = -self.threshold if self.mode == "min" else self.threshold
        bound = self.best * (1 + margin) if self.threshold_mode == "rel" else self.best + margin
        return value < bound if self.mode == "min" else value > bound

    def _reduce(self, trainer: Trainer) -> bool:
        """Lower the rates; tell whether any changed."""
        groups = trainer.optimizer.param_groups
        lowest = self.min_lr if isinstance(self.min_lr, list) else [self.min_lr] * len(groups)
        changed = False
        for group, low in zip(groups, lowest, strict=True):
            rate = max(group["lr"] * self.factor, low)
            if group["lr"] - rate > self.eps:
                group["lr"], changed = rate, True
        return changed
