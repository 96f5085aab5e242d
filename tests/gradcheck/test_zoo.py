"""Honest layers raise no alarm.

``NPNET_SLOW=1 python -m pytest tests/gradcheck/test_zoo.py`` checks each with ten seeds and draws
10,000 random ones in two processes, instead of 60; it prints how many were seen, how many alarms.
"""

import os

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from zoo.anything import anything, see_all
from zoo.honest import HONEST, elementwise

import npnet
from npnet.gradcheck import check_gradients, check_layer

SLOW = os.environ.get("NPNET_SLOW", "") not in ("", "0")


def _generic(value, rng):
    """Numbers close to those of a case, without its ties and zeros."""
    if isinstance(value, tuple):
        return rng.normal(size=value)
    if value.dtype.kind != "f":
        return value
    z = rng.normal(size=value.shape)
    return np.where(value == 0, 0.01 * z, value * (1 - 0.01 * np.abs(z)))


@np.errstate(over="ignore")
def test_honest_layers_are_right():
    """Values and gradients are those of PyTorch."""
    torch = pytest.importorskip("torch")
    from zoo.honest_twins import TWINS

    def leaf(a):
        return torch.tensor(a, requires_grad=np.asarray(a).dtype.kind == "f")

    for name, twin in TWINS.items():
        case, rng = HONEST[name], np.random.default_rng(0)
        first, *rest = case.inputs
        layer, x = case.make(), [_generic(first, rng)]
        if isinstance(layer, npnet.Loss):
            x += rest
            value, *grads = layer.value_and_grad(*x[:2], sample_weight=(x[2:] or [None])[0])
            tensors = [leaf(x[0]), *map(torch.tensor, x[1:])]
            wanted = twin(*tensors)
            wanted.sum().backward()
            outputs, wanted, tensors = [value], [wanted], tensors[:1]
        else:
            x += [_generic(a, rng) for a in rest]
            layer.astype(np.float64)
            y, tape = layer.record(*x)
            outputs = y if isinstance(y, tuple) else (y,)
            upstream = [rng.normal(size=o.shape) for o in outputs]
            grads = tape.backward(*upstream, input_grad=True)
            grads = list(grads) if isinstance(grads, tuple) else [grads]
            tensors = [leaf(a) for a in x] + [leaf(p.data) for p in layer.parameters()]
            wanted = twin(*tensors)
            wanted = wanted if isinstance(wanted, tuple) else (wanted,)
            torch.autograd.backward(wanted, [torch.tensor(u) for u in upstream])
            grads += [p.grad for p in layer.parameters()]
        for got, want in zip(outputs, wanted, strict=True):
            np.testing.assert_allclose(got, want.detach(), rtol=1e-9, atol=1e-12, err_msg=name)
        for grad, tensor in zip(grads, tensors, strict=True):
            if tensor.requires_grad:
                np.testing.assert_allclose(grad, tensor.grad, 1e-9, 1e-9, err_msg=name)


@pytest.mark.parametrize("name", HONEST)
@pytest.mark.parametrize("seed", range(10 if SLOW else 1))
def test_no_false_alarm(name, seed):
    case = HONEST[name]
    assert check_layer(case.make, *case.inputs, seed=seed, **case.options).ok


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


@settings(max_examples=60, derandomize=True, suppress_health_check=list(HealthCheck))
@given(anything)
def test_no_false_alarm_about_anything(case):
    assert check_layer(case.make, *case.inputs, **case.options).ok


@pytest.mark.skipif(not SLOW, reason="half an hour")
def test_no_false_alarm_about_ten_thousand(capsys):
    start = np.random.SeedSequence().entropy % 2**32
    seen, alarms = see_all(10_000, start)
    with capsys.disabled():
        print(f"\n{seen} random honest layers and losses seen, {len(alarms)} alarms, seed {start}")
    assert not alarms, "\n\n".join(alarms[:20])
    assert seen >= 9_900  # Hypothesis sees no case twice
