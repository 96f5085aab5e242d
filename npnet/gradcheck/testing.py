"""For pytest: the whole contract of a layer, with one test for each rule."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from typing import Any

from npnet.arguments import wrong_call
from npnet.errors import ArgumentError, MissingDependency
from npnet.gradcheck.check import check_layer, rule_names


def layer_tests(
    layer_or_factory: Any, *inputs: Any, skip: Collection[str] = (), **options: Any
) -> Callable[..., None]:
    """Make a test function that pytest runs once for each rule of the contract.

    Assign it to a name that begins with ``test``. Arguments are those of `check_layer`, but for
    `only` and `raises`; mistakes in them raise `ArgumentError` at once.

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
    if own := {"only", "raises"} & options.keys():
        raise ArgumentError(f"layer_tests sets {min(own)} itself; leave it out, or use `skip`")
    check = partial(check_layer, layer_or_factory, *inputs)
    if wrong := wrong_call(check, "layer_tests", (), options):
        raise wrong

    @pytest.mark.parametrize("rule", list(rule_names(layer_or_factory, skip)))
    def test(rule: str) -> None:
        __tracebackhide__ = True  # pytest then shows the report, not this code
        check(only=[rule], **options)

    return test
