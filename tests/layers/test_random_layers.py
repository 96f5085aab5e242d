"""AlphaDropout, FeatureAlphaDropout and GaussianNoise: values, moments, where they do nothing."""

import numpy as np
import pytest

import npnet


@pytest.mark.parametrize("name", ["AlphaDropout", "FeatureAlphaDropout"])
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_kept_and_dropped_elements_are_those_of_torch(name, p, rng):
    torch = pytest.importorskip("torch", reason="needs the oracle: pip install torch")
    x = rng.normal(size=(60, 40, 2))
    y, tape = getattr(npnet, name)(p).record(x, rng=0)
    dx = tape.backward(np.ones_like(y), input_grad=True)
    t = torch.from_numpy(x.copy()).requires_grad_()
    expected = getattr(torch.nn, name)(p)(t)
    expected.sum().backward()
    slope, expected, kept = t.grad.numpy().max(), expected.detach().numpy(), t.grad.numpy() > 0
    np.testing.assert_allclose(np.unique(dx), [0, slope], rtol=1e-12)
    assert (dx > 0).mean() == pytest.approx(1 - p, abs=0.03)
    offset = (expected - x * slope)[kept][0]
    np.testing.assert_allclose(y, np.where(dx > 0, x * slope + offset, expected[~kept][0]),
                               rtol=1e-9, atol=1e-12)  # fmt: skip


def test_moments_are_kept(rng):
    x = rng.normal(size=200_000)
    y, _ = npnet.AlphaDropout(0.3).record(x, rng=1)
    assert y.mean() == pytest.approx(0, abs=0.01)
    assert y.std() == pytest.approx(1, abs=0.01)


def test_channels_are_dropped_as_a_whole(rng):
    y, tape = npnet.FeatureAlphaDropout(0.5).record(rng.normal(size=(6, 5, 3, 2)), rng=0)
    dx = tape.backward(np.ones_like(y), input_grad=True)
    assert (dx == dx[:, :, :1, :1]).all()
    assert 0 < (dx[:, :, 0, 0] == 0).sum() < 30


@pytest.mark.parametrize(("name", "shape", "channels"), [
    ("Dropout1d", (40, 30, 3), 2), ("Dropout1d", (400, 3), 1), ("Dropout2d", (40, 30, 3, 2), 2),
    ("Dropout2d", (40, 30, 2), 2), ("Dropout3d", (20, 30, 1, 3, 2), 2),
    ("Dropout3d", (400, 1, 3, 2), 1),
])  # fmt: skip
def test_channels_are_dropped_with_their_probability(name, shape, channels, rng):
    # As in PyTorch only Dropout2d takes inputs without a batch axis for a batch.
    x = rng.uniform(1, 2, shape)
    y, tape = getattr(npnet, name)(0.3).record(x, rng=0)
    kept = y != 0
    assert (kept == kept[(..., *(slice(0, 1),) * (x.ndim - channels))]).all()
    assert channels == 1 or (kept != kept[:, :1]).any()
    assert kept.mean() == pytest.approx(0.7, abs=0.07)
    np.testing.assert_allclose(y[kept], x[kept] / 0.7, rtol=1e-12)
    np.testing.assert_allclose(tape.backward(x, input_grad=True), y, rtol=1e-12)
    nothing, tape = getattr(npnet, name)(1.0).record(x, rng=0)
    assert not nothing.any()
    assert not tape.backward(x, input_grad=True).any()
    np.testing.assert_array_equal(getattr(npnet, name)(0.3)(x), x)


def test_noise_is_normal_and_goes_back_unchanged(rng):
    x = rng.normal(size=100_000)
    y, tape = npnet.GaussianNoise(0.25).record(x, rng=2)
    noise = np.sort((y - x) / 0.25)
    from scipy.stats import kstest

    assert kstest(noise, "norm").pvalue > 1e-3
    np.testing.assert_array_equal(tape.backward(x, input_grad=True), x)


@pytest.mark.parametrize("layer", [npnet.AlphaDropout(0.5), npnet.FeatureAlphaDropout(0.5),
                                   npnet.GaussianNoise(1.0)])  # fmt: skip
def test_only_training_passes_are_random(layer):
    x = np.ones((4, 3), np.float32)
    np.testing.assert_array_equal(layer(x), x)
    np.testing.assert_array_equal(layer.record(x, training=False)[0], x)
    a, b = (layer.record(x, rng=5)[0] for _ in range(2))
    np.testing.assert_array_equal(a, b)
    assert (a != x).any()
