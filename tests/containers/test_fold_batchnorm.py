"""fold_batchnorm: the same numbers in inference, and what stays is told."""

import numpy as np
import pytest

import npnet
from npnet.ops import warn


@pytest.fixture
def told(monkeypatch, capsys):
    """Return what was said since the last call, but for what was compiled."""
    monkeypatch.setattr(warn, "_shown", set())

    def said():
        lines = capsys.readouterr().err.splitlines(keepends=True)
        return "".join(line for line in lines if not line.startswith("npnet: compiled "))

    return said


def norms(model):
    return [name for name, layer in model.named_layers() if "BatchNorm" in type(layer).__name__]


def trained(model, shape, rng):
    """Give a model random parameters, and running statistics of some batches."""
    model.astype(np.float64)
    for p in model.parameters():
        p.data = rng.normal(size=p.shape)
    for _ in range(3):
        model.record(rng.normal(size=shape) * 2 + 1)
    return model


PAIRS = [
    (lambda: npnet.Linear(3, 4), npnet.BatchNorm1d, (6, 3)),
    (lambda: npnet.Linear(3, 4, bias=False), npnet.BatchNorm1d, (6, 3)),
    (lambda: npnet.Conv1d(3, 4, 2), npnet.BatchNorm1d, (5, 3, 6)),
    (lambda: npnet.Conv2d(2, 4, 3, groups=2, padding=1, bias=False), npnet.BatchNorm2d,
     (3, 2, 4, 5)),
    (lambda: npnet.Conv3d(2, 4, 2), npnet.BatchNorm3d, (2, 2, 3, 2, 3)),
    (lambda: npnet.ConvTranspose1d(3, 4, 2), npnet.BatchNorm1d, (5, 3, 6)),
    (lambda: npnet.ConvTranspose2d(6, 4, 2, groups=2, stride=2), npnet.BatchNorm2d, (3, 6, 4, 3)),
    (lambda: npnet.ConvTranspose3d(2, 4, 2, bias=False), npnet.BatchNorm3d, (2, 2, 3, 2, 3)),
]  # fmt: skip


@pytest.mark.parametrize("options", [{}, {"affine": False}, {"bias": False, "eps": 0.1}])
@pytest.mark.parametrize(("layer", "norm", "shape"), PAIRS)
def test_pairs_give_the_same_numbers(layer, norm, shape, options, rng, told):
    model = trained(npnet.Sequential(layer(), norm(4, **options), npnet.ReLU()), shape, rng)
    x, before = rng.normal(size=shape), model.state_dict()
    expected = model(x)
    folded = npnet.fold_batchnorm(model)
    assert list(folded.state_dict()) == ["0.weight", "0.bias"]
    np.testing.assert_allclose(folded(x), expected, rtol=1e-12, atol=1e-12)
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
    assert told() == ""


def test_float32_and_a_whole_network(rng, told):
    model = npnet.Sequential(
        npnet.Sequential(npnet.Conv2d(1, 4, 3), npnet.BatchNorm2d(4), npnet.ReLU()),
        npnet.Sequential(npnet.Conv2d(4, 6, 3)),
        npnet.BatchNorm2d(6), npnet.BatchNorm2d(6, affine=False),
        npnet.Flatten(), npnet.Linear(6 * 4, 5), npnet.Sequential(npnet.BatchNorm1d(5)),
    )  # fmt: skip
    x = rng.normal(size=(8, 1, 6, 6))
    trained(model, x.shape, rng).astype(np.float32)
    folded = npnet.fold_batchnorm(model)
    assert norms(folded) == []
    assert set(folded.state_dict()) < set(model.state_dict())
    expected = model(x)
    np.testing.assert_allclose(folded(x), expected, atol=1e-4 * np.abs(expected).max())
    assert told() == ""


def test_what_stays_is_told(rng, told):
    shared, twice = npnet.Linear(4, 4), npnet.BatchNorm1d(4)
    model = npnet.Sequential(
        npnet.BatchNorm1d(4),
        shared, npnet.BatchNorm1d(4), shared, npnet.ReLU(), npnet.BatchNorm1d(4),
        npnet.Linear(4, 4), twice, npnet.Linear(4, 4), twice,
        npnet.Linear(4, 4), npnet.BatchNorm1d(4, track_running_stats=False),
        npnet.Linear(4, 4), npnet.BatchNorm1d(4),
    )  # fmt: skip
    x = rng.normal(size=(6, 4))
    trained(model, x.shape, rng)
    folded = npnet.fold_batchnorm(model)
    assert norms(folded) == ["0", "2", "5", "7", "9", "11"]
    np.testing.assert_allclose(folded(x), model(x), rtol=1e-10, atol=1e-12)
    said = told()
    for text in ("'0' as it is: no layer stands before it", "'2' as it is: it, or the layer before",
                 "'5' as it is: it stands behind a ReLU", "'7' as it is: it, or the layer before",
                 "'11' as it is: it has no running statistics"):  # fmt: skip
        assert text in said
    assert "'13'" not in said


def test_layers_with_passes_of_their_own_are_left_alone(rng, told):
    class Doubled(npnet.Linear):
        def forward(self, ctx, x):
            return 2 * super().forward(ctx, x)

    class Half(npnet.BatchNorm1d):
        def forward(self, ctx, x):
            return super().forward(ctx, x) / 2

    class Block(npnet.Layer):
        def __init__(self):
            super().__init__()
            self.inner = npnet.Sequential(npnet.Linear(4, 4), npnet.BatchNorm1d(4))
            self.norm = npnet.BatchNorm1d(4)

        def forward(self, ctx, x):
            return ctx.call(self.norm, ctx.call(self.inner, x))

        def backward(self, ctx, grad):
            while ctx.calls:
                grad = ctx.calls.pop().backward(grad)
            return grad

    model = npnet.Sequential(
        Doubled(4, 4), npnet.BatchNorm1d(4), npnet.Linear(4, 4), Half(4), Block()
    )
    x = rng.normal(size=(6, 4))
    trained(model, x.shape, rng)
    folded = npnet.fold_batchnorm(model)
    assert norms(folded) == ["1", "4.norm"]
    assert type(folded[3]) is Half
    np.testing.assert_allclose(folded(x), model(x), rtol=1e-10, atol=1e-12)
    said = told()
    assert "behind a Doubled" in said
    assert "only a BatchNorm1d is folded" in said
    assert "'4.norm' as it is: it is not in a Sequential" in said


def test_tied_weights_and_frozen_ones(rng):
    first, second = npnet.Linear(4, 4), npnet.Linear(4, 4)
    second.weight = first.weight
    model = npnet.Sequential(first, npnet.BatchNorm1d(4), second)
    x = rng.normal(size=(6, 4))
    trained(model, x.shape, rng)
    model.requires_grad_(False)
    folded = npnet.fold_batchnorm(model)
    np.testing.assert_allclose(folded(x), model(x), rtol=1e-10, atol=1e-12)
    assert not folded.trainable


def test_other_layers_come_back_as_copies():
    layer = npnet.Linear(3, 2)
    copy = npnet.fold_batchnorm(layer)
    assert copy is not layer
    with pytest.raises(npnet.errors.ArgumentError, match="to be a Layer"):
        npnet.fold_batchnorm(layer.weight)
