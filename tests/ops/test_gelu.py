"""GELU in single precision, where npnet has a fit of its own."""

import numpy as np
import pytest

import npnet
from npnet.ops import gelu
from npnet.ops.kernels import families

special = pytest.importorskip("scipy.special")
X = np.concatenate([np.linspace(-9, 9, 100_001), [-40, -1e4, 40, 1e4, 1e-30]]).astype(np.float32)


@pytest.mark.parametrize("form", ["numpy", "bound"])
def test_the_fit_is_as_good_as_single_precision(form, monkeypatch):
    if form == "numpy":
        for name, function in families["npnet.ops.gelu"].numpy.items():
            monkeypatch.setattr(gelu, name, function)
    exact = special.ndtr(X.astype(float))
    with np.errstate(over="ignore"):
        value = gelu.gelu(X, np.empty_like(X))
        slope = gelu.gelu_grad(np.ones_like(X), X, np.empty_like(X))
    assert (np.abs(value - X * exact) / np.maximum(1, np.abs(X))).max() < 1.5e-7
    density = np.exp(-(X.astype(float) ** 2) / 2) / np.sqrt(2 * np.pi)
    np.testing.assert_allclose(slope, exact + X * density, atol=4e-7)


def test_double_precision_is_scipys():
    x = X.astype(float)
    np.testing.assert_array_equal(npnet.GELU()(x), x * special.ndtr(x))
