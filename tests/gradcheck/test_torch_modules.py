"""PyTorch's module database, run through check_layer for every class that npnet has too.

``python -m pytest -s tests/gradcheck/test_torch_modules.py`` prints what was checked and what
was refused, with the reason; ``NPNET_SLOW=1`` checks every sample, not only some of each class.
"""

import collections
import functools
import inspect
import os
import sys
import types
import unittest

import numpy as np
import pytest

import npnet
from npnet.gradcheck import check_layer

SLOW = os.environ.get("NPNET_SLOW", "") not in ("", "0")
SAMPLES = 8  # of each class, unless it is slow

CLASSES = [
    name
    for name in npnet.__all__
    if isinstance(kind := getattr(npnet, name), type)
    and issubclass(kind, npnet.Layer | npnet.Loss)
    and kind not in (npnet.Layer, npnet.Loss)
]


@pytest.fixture(scope="module")
def database():
    """PyTorch's samples by the name of their class."""
    torch = pytest.importorskip("torch")
    if "expecttest" not in sys.modules:  # PyTorch's file wants its TestCase, its data do not
        try:
            import expecttest  # noqa: F401
        except ImportError:
            stub = types.ModuleType("expecttest")
            stub.TestCase = unittest.TestCase
            sys.modules["expecttest"] = stub
    from torch.testing._internal.common_modules import module_db

    found = collections.defaultdict(list)
    for info in module_db:
        make = functools.partial(info.module_inputs_func, info, device="cpu", dtype=torch.float64)
        found[info.module_cls.__name__].append((info.module_cls, make))
    return found


@pytest.fixture(scope="module")
def counts():
    """Count what the tests of this file saw, and print it after the last one."""
    found = collections.Counter()
    yield found
    print(
        f"\n{found['classes']} classes, {found['checked']} samples checked, {found['compared']} "
        f"outputs compared with PyTorch's, {found['refused']} samples refused"
    )


def as_numpy(value):
    return value.detach().numpy().copy() if hasattr(value, "detach") else value


def flat(values):
    """The values in a list and in the tuples in it."""
    return [x for value in values for x in (flat(value) if isinstance(value, tuple) else [value])]


def positional(forward, given):
    """The arguments of a call in order, those given by keyword too."""
    bound = inspect.signature(forward).bind(None, *given.args, **given.kwargs)
    parameters = list(bound.signature.parameters.values())
    bound.apply_defaults()
    values = list(bound.args)
    while values[-1] is parameters[len(values) - 1].default:
        values.pop()
    return values[1:]


def evenly(samples):
    step = 1 if SLOW else -(-len(samples) // SAMPLES)
    return samples[::step]


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides:UserWarning")  # of KLDivLoss
@pytest.mark.parametrize("name", CLASSES)
def test_samples_of(name, database, counts):
    if name not in database:
        pytest.skip(f"PyTorch's database has no {name}")
    if name == "TransformerEncoder":
        pytest.skip("its samples hold layers of PyTorch's")
    compared, checked, refused = 0, 0, []
    for theirs, make_samples in database[name]:
        sys.modules["torch"].manual_seed(0)
        for sample in evenly(make_samples(requires_grad=False, training=True)):
            constructor = sample.constructor_input
            args = [as_numpy(a) for a in constructor.args]
            kwargs = {k: as_numpy(v) for k, v in constructor.kwargs.items()}
            given = positional(theirs.forward, sample.forward_input)
            inputs = [as_numpy(x) for x in flat(given)]
            make = functools.partial(getattr(npnet, name), *args, **kwargs)
            try:
                layer = make()
                output = layer(*inputs)
            except npnet.NpnetError as error:
                refused.append(f"{sample.desc or 'plain'}: {error}")
                continue
            module = theirs(*constructor.args, **constructor.kwargs)
            agree = outputs_agree(layer, inputs, module, given)
            if any(x is None for x in inputs):  # the checker has no word for it
                compared += agree
                continue
            # The mean over samples of which all are ignored, or a root of a negative sum.
            if not all(np.isfinite(y).all() for y in flat([output])):
                compared += agree
                refused.append(f"{sample.desc}: the output is {output}, as PyTorch's is")
                continue
            single = "no_batch_dim" in sample.desc or inputs[0].ndim < 2
            axis = 0
            if "batch_first" in inspect.signature(theirs).parameters:  # of sequences
                single, axis = inputs[0].ndim < 3, int(not kwargs.get("batch_first"))
            assert check_layer(make, *inputs, batch_axis=None if single else axis).ok
            checked, compared = checked + 1, compared + agree
    if refused and all("as PyTorch's is" in text for text in refused):
        pytest.skip("PyTorch's own samples give NaN")
    assert checked, refused
    counts.update(classes=1, checked=checked, compared=compared, refused=len(refused))
    print(f"{name}: {checked} samples checked, {len(refused)} refused", *refused, sep="\n    ")


def outputs_agree(layer, inputs, module, given):
    """Compare outputs in evaluation mode, if PyTorch's module takes our parameters."""
    module = module.double().eval()
    if isinstance(layer, npnet.Layer):
        layer = layer.astype(np.float64)
        ours = {k: sys.modules["torch"].from_numpy(v) for k, v in layer.state_dict().items()}
        if ours.keys() != module.state_dict().keys():
            return False
        module.load_state_dict(ours)
    outputs, expected = flat([layer(*inputs)]), flat([module(*given)])
    for y, theirs in zip(outputs, expected, strict=True):
        np.testing.assert_allclose(y, theirs.detach().numpy(), rtol=1e-10, atol=1e-12)
    return True
