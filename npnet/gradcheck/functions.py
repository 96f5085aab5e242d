"""Functions to differentiate, made of copies of what is under test, at any inputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from npnet.gradcheck.numeric.function import Draws, Function
from npnet.gradcheck.numeric.rounding import Float32
from npnet.gradcheck.passes import differentiated
from npnet.gradcheck.under_test import LayerUnderTest
from npnet.typing import Array

MODES = ("full", "sample", "directional")


class Options(NamedTuple):
    """How gradients are checked; see `check_gradients`."""

    mode: str = "full"
    samples: int = 100
    dtype: Any = np.float64
    training: bool = True
    seed: int = 0
    complex_step: bool = True
    probe: bool = False
    moves: bool = False
    domain: tuple[float, float] | None = None


class Functions:
    """Makes functions of new copies of a layer or loss."""

    def __init__(self, under_test: LayerUnderTest, options: Options) -> None:
        self.under_test, self.options = under_test, options
        self.inputs: Sequence[Any] = under_test.arrays()

    def make(
        self,
        inputs: Sequence[Any] | None = None,
        dtype: Any = np.float64,
        training: bool | None = None,
        moved: bool = False,
        values: Sequence[Array] | None = None,
        **given: Any,
    ) -> Function:
        """Return a function, on demand with moved constant parameters or other `values` of all."""
        inputs = self.inputs if inputs is None else inputs
        layer = (self.under_test.fresh if moved else self.under_test.plain)(dtype)
        for p, value in zip(layer.parameters(), values or (), strict=False):
            p.data[...] = value
        given.setdefault("upstream", np.random.default_rng((self.options.seed, 5)))
        training = self.options.training if training is None else training
        return Function(layer, inputs, dtype, training=training, **given)

    def quietly(self, *arguments: Any, **options: Any) -> Function | None:
        """Do what `make` does; None if that raises, which other rules say."""
        try:
            return self.make(*arguments, **options)
        except Exception:
            return None

    def pair(self, inputs: Sequence[Any] | None = None, single: Function | None = None) -> Float32:
        """Make functions of the same numbers in float32 and float64."""
        single = self.make(inputs, np.float32) if single is None else single
        draws = single.draws_asked
        double = self.make(single.given, draws=Draws(draws), upstream=single.upstream)
        return Float32(single, double)

    @property
    def moving(self) -> list[int]:
        """Which of the inputs are differentiated."""
        moving = differentiated(self.under_test.layer, self.inputs)
        return np.flatnonzero(moving).tolist()
