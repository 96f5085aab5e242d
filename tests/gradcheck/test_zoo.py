"""Honest layers raise no alarm.

``NPNET_SLOW=1 python -m pytest tests/gradcheck/test_zoo.py`` draws 10,000 layers instead of 60.
"""

import os

import pytest
from hypothesis import HealthCheck, given, settings
from zoo.anything import anything
from zoo.honest import HONEST

from npnet.gradcheck.contract import check_layer

SLOW = os.environ.get("NPNET_SLOW", "") not in ("", "0")


@pytest.mark.parametrize("name", HONEST)
def test_no_false_alarm(name):
    case = HONEST[name]
    assert check_layer(case.make, *case.inputs, **case.options).ok


@pytest.mark.parametrize("name", HONEST)
def test_no_false_alarm_about_an_instance(name):
    case = HONEST[name]
    report = check_layer(case.make(), *case.inputs, skip=["gradients"], seed=1, **case.options)
    assert report.ok


@settings(
    max_examples=10_000 if SLOW else 60,
    derandomize=not SLOW,
    suppress_health_check=list(HealthCheck),
)
@given(anything)
def test_no_false_alarm_about_anything(case):
    assert check_layer(case.make, *case.inputs, **case.options).ok
