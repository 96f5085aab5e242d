"""ClassWeights, which makes factors of samples from factors of classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from npnet.arguments import real_number, refusal, shown, whole_number
from npnet.convert import real_array
from npnet.errors import ArgumentError, DataError
from npnet.losses import CrossEntropyLoss, Loss
from npnet.typing import Array

_KIND = "a dict from class to factor, or an array with a factor for each class"


class ClassWeights:
    """Factors of the terms of a loss, by the classes of their targets.

    Parameters
    ----------
    weights : dict of int to float, or array_like, shape (num_classes,)
        A class that a dictionary lacks has the factor 1, an ignored label too.
    loss : Loss
        What the targets are for: one target, of classes.

    Raises
    ------
    ArgumentError
        If the weights are something else, or not from 0 on.
    """

    def __init__(self, weights: Any, loss: Loss) -> None:
        if isinstance(weights, str):
            hint = "'balanced' is n / (num_classes * np.bincount(y))"
            raise refusal("Trainer.fit", "class_weight", _KIND, weights, hint)
        if len(loss.arguments) - len(loss.predictions) != 1:
            raise ArgumentError(
                f"class_weight needs a loss with one target, and {type(loss).__name__} takes "
                f"({', '.join(loss.arguments)}); sample_weight takes a factor for each sample"
            )
        if isinstance(weights, Mapping):
            owner, name = "Trainer.fit", "a key of class_weight"
            named = {whole_number(owner, name, k): v for k, v in weights.items()}
            self._complete = False
        else:
            array = real_array(weights, "Trainer.fit: class_weight")
            if array.ndim != 1:
                raise refusal("Trainer.fit", "class_weight", _KIND, weights)
            named = dict(enumerate(array.tolist()))
            self._complete = True
        factors = {
            k: real_number("Trainer.fit", f"class_weight[{k}]", v, 0) for k, v in named.items()
        }
        self._classes = np.array(sorted(factors), dtype=np.int64)
        self._factors = np.array([factors[k] for k in sorted(factors)], dtype=np.float64)
        self._ignored = vars(loss).get("ignore_index")
        self._probabilities = isinstance(loss, CrossEntropyLoss)

    def __call__(self, target: Any, weight: Any) -> Array:
        """Return the factors of a batch, times the sample weights it already has."""
        classes = self._classes_of(target)
        factors = self._lookup(classes)
        if weight is None:
            return factors
        weight = np.asarray(weight)
        if weight.ndim < factors.ndim and weight.shape == factors.shape[: weight.ndim]:
            weight = weight.reshape(weight.shape + (1,) * (factors.ndim - weight.ndim))
        elif factors.ndim < weight.ndim and factors.shape == weight.shape[: factors.ndim]:
            factors = factors.reshape(factors.shape + (1,) * (weight.ndim - factors.ndim))
        elif factors.shape != weight.shape:
            raise DataError(
                f"class_weight and sample_weight do not fit: the target has classes of shape "
                f"{factors.shape}, the sample weights have shape {weight.shape}"
            )
        return np.asarray(factors * weight)

    def _classes_of(self, target: Any) -> Array:
        """Return the class numbers of a target; of probabilities the most likely class."""
        if isinstance(target, tuple):
            raise DataError(
                f"class_weight needs one target of classes, and y holds {len(target)}; "
                "sample_weight takes a factor for each sample"
            )
        if hasattr(target, "toarray"):  # SciPy's sparse one-hot rows
            return np.asarray(target.argmax(axis=1)).reshape(-1)
        array = real_array(target, "Trainer.fit: y")
        if array.dtype.kind in "iub":
            return array.astype(np.int64)
        if self._probabilities and array.ndim > 1:
            return np.asarray(array.argmax(axis=1))
        whole = array.astype(np.int64, copy=True) if np.isfinite(array).all() else None
        if whole is None or not np.array_equal(whole, array):
            raise DataError(
                "class_weight needs a target of class numbers, and y has values between them; "
                "sample_weight takes a factor for each sample"
            )
        return whole

    def _lookup(self, classes: Array) -> Array:
        """Return the factors of classes."""
        factors = np.ones(classes.shape)
        if self._classes.size:
            place = np.searchsorted(self._classes, classes).clip(max=self._classes.size - 1)
            known = self._classes[place] == classes
            factors[known] = self._factors[place[known]]
        else:
            known = np.zeros(classes.shape, bool)
        if self._complete and not known.all():
            missing = ~known if self._ignored is None else ~known & (classes != self._ignored)
            if missing.any():
                raise DataError(
                    f"class_weight has {self._classes.size} factors, and y has the class "
                    f"{shown(int(classes[missing][0]))}"
                )
        return factors
