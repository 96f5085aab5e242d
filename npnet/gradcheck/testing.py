"""For pytest: the whole contract of a layer as one test for each rule, in two lines."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import numpy as np

from npnet.errors import MissingDependency
from npnet.gradcheck.contract import check_layer, rule_names
from npnet.typing import DtypeLike


def layer_tests(
    layer_or_factory: Any,
    *inputs: Any,
    batch_axis: int | None = 0,
    batch_independence: bool = True,
    skip: Collection[str] = (),
    mode: str = "auto",
    dtype: DtypeLike = np.float64,
    seed: int = 0,
) -> Callable[..., None]:
    """Make a test function that pytest runs once for each rule of the contract.

    Parameters
    ----------
    layer_or_factory, *inputs, batch_axis, batch_independence, skip, mode, dtype, seed
        As for `check_layer`.

    Returns
    -------
    function
        To be assigned to a name that begins with ``test``.

    Raises
    ------
    ArgumentError
        If the layer cannot be made, or a rule's name is unknown.
    MissingDependency
        If pytest is not installed.

    Examples
    --------
    A whole test file for a layer:

    >>> import npnet
    >>> from npnet.gradcheck.testing import layer_tests
    >>> test_linear = layer_tests(lambda: npnet.Linear(4, 3), (5, 4))
    """
    try:
        import pytest
    except ImportError as error:
        raise MissingDependency(
            'layer_tests needs pytest: pip install "npnet-framework[test]"'
        ) from error

    @pytest.mark.parametrize("rule", list(rule_names(layer_or_factory, skip)))
    def test(rule: str) -> None:
        __tracebackhide__ = True  # pytest then shows the report, not this code
        check_layer(
            layer_or_factory,
            *inputs,
            batch_axis=batch_axis,
            batch_independence=batch_independence,
            only=[rule],
            mode=mode,
            dtype=dtype,
            seed=seed,
        )

    return test
