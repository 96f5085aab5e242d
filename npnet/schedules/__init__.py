"""Learning-rate schedules: pure functions of the step.

``schedule(k)`` is the rate of optimizer step `k`, counted from 0; the optimizer owns the count.
Any callable from an int to a float will do; the classes here bear PyTorch's names and arguments,
take the base rate first and give the rates that PyTorch's schedulers give when they are stepped
after every optimizer step. All counts are steps; `per_epoch` makes them epochs, and `warmup` puts a
rising rate in front of any schedule. The momentum that belongs to a `CyclicLR` or a `OneCycleLR` is
a schedule too: its `momentum`.
"""

from npnet.arguments import absent
from npnet.schedules.combined import ChainedScheduler, SequentialLR, warmup
from npnet.schedules.cosine import CosineAnnealingLR, CosineAnnealingWarmRestarts
from npnet.schedules.cyclic import CyclicLR, OneCycleLR
from npnet.schedules.decay import ExponentialLR, MultiStepLR, PolynomialLR, StepLR
from npnet.schedules.epochs import per_epoch, with_steps_per_epoch
from npnet.schedules.factors import ConstantLR, LambdaLR, LinearLR, MultiplicativeLR
from npnet.schedules.schedule import Schedule, as_schedule

__all__ = [
    "ConstantLR",
    "LinearLR",
    "StepLR",
    "MultiStepLR",
    "ExponentialLR",
    "PolynomialLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "OneCycleLR",
    "LambdaLR",
    "MultiplicativeLR",
    "SequentialLR",
    "ChainedScheduler",
    "warmup",
    "per_epoch",
    "with_steps_per_epoch",
    "Schedule",
    "as_schedule",
]

_OTHERS = {  # PyTorch's and Keras's
    "ReduceLROnPlateau": "it is a callback: npnet.training.ReduceLROnPlateau",
    "LRScheduler": "a schedule is any function of the step",
    "CosineDecay": "it is CosineAnnealingLR",
    "ExponentialDecay": "it is ExponentialLR",
    "PiecewiseConstantDecay": "it is MultiStepLR",
    "PolynomialDecay": "it is PolynomialLR",
}

__getattr__ = absent("npnet.schedules", __all__, _OTHERS)
