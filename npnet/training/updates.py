"""Update, one step of the optimizer: from one batch, or from the mean of several micro-batches."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from npnet.arguments import refusal, several, wrong_call
from npnet.store import flat_grads
from npnet.training.callbacks import Callback, overriding

if TYPE_CHECKING:
    from npnet.data.batches import BatchSource
    from npnet.losses.loss import LossValue
    from npnet.parameter import Parameter
    from npnet.training.class_weight import ClassWeights
    from npnet.training.metric_tracker import MetricTracker
    from npnet.training.trainer import Trainer


class TrainingBatches(NamedTuple):
    """What an epoch trains on: batches, how many of them make a step, and factors of classes."""

    source: BatchSource
    accumulate: int = 1
    class_weights: ClassWeights | None = None


class Update:
    """The steps of an epoch: gradients are gathered, and used when a step's batches are complete.

    Where the loss is a mean, each micro-batch has the share of the gradient and of the value that
    its weight (what its mean was divided by) has in the sum of their weights, as in one large
    batch. Sums are added.

    Parameters
    ----------
    trainer : Trainer
    parameters : list of Parameter
        Those of the model and of the optimizer.
    watchers : list of Callback
    tracker : MetricTracker
        Is told the penalties.
    """

    __slots__ = ("_after", "_before", "_mean", "_parameters", "_tracker", "_trainer", "value",
                 "weight")  # fmt: skip

    def __init__(
        self,
        trainer: Trainer,
        parameters: list[Any],
        watchers: list[Callback],
        tracker: MetricTracker,
    ) -> None:
        self._trainer = trainer
        self._parameters = parameters
        self._tracker = tracker
        self._mean = trainer.loss.reduction in trainer.loss.means
        self._before = overriding(watchers, "on_backward_end")
        self._after = overriding(watchers, "on_batch_end")
        self.value = self.weight = 0.0

    def begin(self) -> None:
        """Forget the gradients, also of parameters that the optimizer leaves alone."""
        self.value = self.weight = 0.0
        for p in self._parameters:
            p._grad = None

    def add(self, tape: Any, result: LossValue) -> None:
        """Run the backward pass of a batch."""
        grad: Any = result.grad
        grads = grad if type(grad) is tuple else (grad,)
        if self.weight and self._mean:
            total = self.weight + result.weight
            rest, share = self.weight / total, result.weight / total
            for vector in flat_grads(self._parameters, "Trainer"):
                vector *= rest
            grads = tuple(g * g.dtype.type(share) for g in grads)
            self.value = self.value * rest + result.value * share
        else:
            self.value += result.value
        self.weight += result.weight
        tape.backward(*grads)

    def step(self) -> None:
        """Update the parameters, unless nothing counted."""
        if not self.weight:
            return
        trainer = self._trainer
        value = self.value
        if trainer.penalties:
            penalty = total(trainer.penalties)
            self._tracker.add_penalty(penalty, self.weight)
            value += penalty
            for each in trainer.penalties:
                each.backward()
        for call in self._before:
            call(trainer)
        trainer.optimizer.step()
        if trainer.averaged is not None:
            trainer.averaged.update_parameters(trainer.model)
        for call in self._after:
            call(trainer, value)


def total(penalties: list[Any]) -> float:
    """Return the sum of penalties."""
    return math.fsum(float(penalty()) for penalty in penalties)


def as_averaged(owner: str, averaged: Any) -> Any:
    """Return what averages the model, or None."""
    if averaged is not None and not (callable(averaged) and _has(averaged, "update_parameters", 1)):
        kind = "an AveragedModel, with update_parameters(model)"
        raise refusal(owner, "averaged", kind, averaged)
    return averaged


def as_penalties(owner: str, penalties: Any) -> list[Any]:
    """Return a list of penalties; each can be called and has a backward pass."""
    kind = "a list of penalties, such as npnet.penalties.L2(model.parameters(), 1e-4)"
    found = several(owner, "penalties", penalties, (), kind)
    for penalty in found:
        if not callable(penalty) or not _has(penalty, "backward", 0):
            raise refusal(owner, "penalties", kind, penalty)
    return found


def refuse_others(owner: str, penalties: list[Any], parameters: Iterable[Parameter]) -> None:
    """Refuse penalties on parameters that are not among these: of a model made before this one."""
    known = set(parameters)
    for penalty in penalties:
        penalized = getattr(penalty, "parameters", ())
        if isinstance(penalized, list | tuple) and not known.issuperset(penalized):
            kind = "of the model's own parameters"
            hint = f"make it of this very model: {type(penalty).__name__}(model.parameters(), ...)"
            raise refusal(owner, "penalties", kind, penalty, hint)


def _has(thing: Any, name: str, count: int) -> bool:
    """Tell whether a thing, no class, has a method that takes so many arguments."""
    method = None if isinstance(thing, type) else getattr(thing, name, None)
    return callable(method) and wrong_call(method, name, (None,) * count, {}) is None
