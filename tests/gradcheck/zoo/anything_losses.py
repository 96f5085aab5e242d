"""Random honest losses."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

import npnet
from zoo import honest_losses
from zoo.anything_simple import given_by, values
from zoo.honest import Honest

_LOSSES = (
    (honest_losses.OfError, honest_losses.huber, lambda e: np.clip(e, -1, 1)),
    (honest_losses.OfError, np.abs, np.sign),
    (honest_losses.OfError, *honest_losses.PINBALL),
    (honest_losses.OfError, *honest_losses.UNSURE),
    (honest_losses.OfError, lambda e: np.sqrt(e * e + 1e-3), lambda e: e / np.sqrt(e * e + 1e-3)),
    (honest_losses.OfMargin, *honest_losses.HINGE),
    (
        honest_losses.OfMargin,
        lambda m: honest_losses.softplus(-m),
        lambda m: -honest_losses.sigmoid(-m),
    ),
    (honest_losses.OfBoth, *honest_losses.POISSON),
    (honest_losses.OfBoth, honest_losses.focal, honest_losses.focal_slope),
)


@st.composite
def losses(draw):
    n, c = draw(st.integers(1, 4)), draw(st.integers(2, 4))
    scale = draw(st.sampled_from([1e-3, 1.0, 10.0]))
    reduction = draw(st.sampled_from(["mean", "sum", "none"]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    labels, bits = rng.integers(0, c, n), rng.integers(0, 2, (n, c))
    kind = draw(st.sampled_from(["npnet", "function", "classes", "dice", "gaussian", "masked"]))
    shape, target = (n, c), draw(values((n, c), scale))
    if kind == "npnet":
        name = draw(
            st.sampled_from(
                ["MSELoss", "L1Loss", "CrossEntropyLoss", "NLLLoss", "BCEWithLogitsLoss"]
            )
        )
        target = {"M": target, "L": target, "B": rng.choice([0, 0.3, 1], (n, c))}.get(
            name[0], labels
        )
        make = lambda: getattr(npnet, name)(reduction=reduction)  # noqa: E731
    elif kind == "function":
        base, *f = draw(st.sampled_from(_LOSSES))
        if base is honest_losses.OfMargin:
            target = 2.0 * bits - 1
        elif base is honest_losses.OfBoth:
            target, scale = 1.0 * bits, 1.0
        make = honest_losses.of(base, *f, reduction)
    elif kind == "classes":
        target, weight = labels, rng.choice([0.5, 1.0, 2.0], c)
        smoothing, ignored = draw(st.sampled_from([0.0, 0.1])), draw(st.sampled_from([-1, 0]))
        target[0] = 1
        make = draw(
            st.sampled_from(
                [
                    lambda: honest_losses.Classes(weight, smoothing, ignored, reduction),
                    lambda: npnet.CrossEntropyLoss(
                        weight, ignore_index=ignored, label_smoothing=smoothing, reduction=reduction
                    ),
                    lambda: honest_losses.Margins(reduction),
                ]
            )
        )
    elif kind == "dice":
        target, make = bits, lambda: honest_losses.Dice(reduction)
    elif kind == "gaussian":
        shape, scale, target = (n, 2), 1.0, draw(values((n,)))
        make = lambda: honest_losses.Gaussian(reduction)  # noqa: E731
    else:
        target = np.where(bits.astype(bool), np.nan, target)
        target[0, 0] = 1.0
        make = lambda: honest_losses.Masked(reduction)  # noqa: E731
    factors = (rng.choice([0.25, 1.0, 2.0], n),) if draw(st.booleans()) else ()
    return Honest(make, (draw(given_by(shape, scale)), target, *factors))
