"""Moving parameters away from the values behind which bugs hide.

Who forgets a gain of one or a bias of zero, or exchanges two parameters that start alike, gets
right gradients at the start of training and wrong ones ever after.
"""

from __future__ import annotations

import numpy as np

from npnet.layer import Layer
from npnet.typing import Array


def move_constants(layer: Layer) -> bool:
    """Replace what is constant in parameters and buffers by random numbers near it; tell if any."""
    rng, moved = np.random.default_rng(5), False
    for p in layer.parameters():
        if _hides_bugs(p.data):
            p.data, moved = _near(p.data, rng, rng.choice([-1.0, 1.0], p.shape)), True
    for _, part in layer.named_layers():
        for name, value in list(part._buffers.items()):
            if value.dtype.kind == "f" and value.ndim and _hides_bugs(value):
                setattr(part, name, _near(value, rng, 1.0))
                moved = True
    return moved


def _hides_bugs(values: Array) -> bool:
    one = np.unique(values)
    return one.size == 1 and (values.size > 1 or one[0] in (-1, 0, 1))


def _near(values: Array, rng: np.random.Generator, sign: Array | float) -> Array:
    factor, shift = rng.uniform(0.7, 1.3, values.shape), rng.uniform(0.1, 0.5, values.shape)
    return np.asarray(np.where(values == 0, sign * shift, values * factor), values.dtype)
