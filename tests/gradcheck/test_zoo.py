"""Honest layers raise no alarm.

``NPNET_SLOW=1 python -m pytest tests/gradcheck/test_zoo.py`` draws 10,000 layers instead of 60.
"""

import os

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from zoo.anything import anything
from zoo.honest import HONEST, elementwise

from npnet.gradcheck import check_gradients, check_layer

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


@pytest.mark.parametrize(
    ("value", "derivative", "scale"),
    [(lambda x: np.exp(x) - 1, np.exp, 1e-9), (lambda x: 1 - np.cos(x), np.sin, 1e-6)],
)
@pytest.mark.parametrize("mode", ["full", "directional"])
def test_few_digits_are_no_float32(value, derivative, scale, mode):
    x = scale * np.random.default_rng(0).normal(size=(5, 4))
    assert check_gradients(elementwise(value, derivative)(), x, mode=mode).ok


@settings(
    max_examples=10_000 if SLOW else 60,
    derandomize=not SLOW,
    suppress_health_check=list(HealthCheck),
)
@given(anything)
def test_no_false_alarm_about_anything(case):
    assert check_layer(case.make, *case.inputs, **case.options).ok
