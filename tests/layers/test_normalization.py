"""Normalisation layers against PyTorch over several passes, far from 0, and at the edges."""

import numpy as np
import pytest

import npnet
from npnet.errors import ArgumentError, ShapeError
from npnet.gradcheck import check_layer

AFFINE = [{}, {"affine": False}, {"bias": False}, {"eps": 0.1}]
TRACKED = [{"momentum": None}, {"momentum": 0.0}, {"momentum": 1.0, "affine": False},
           {"track_running_stats": False}]  # fmt: skip
SHAPES = {
    npnet.BatchNorm1d: [(4, 3), (5, 3, 6), (2, 3, 1), (300, 3), (0, 3), (2, 3, 0)],
    npnet.BatchNorm2d: [(4, 3, 5, 2), (1, 3, 2, 1), (2, 3, 200, 180)],
    npnet.BatchNorm3d: [(2, 3, 2, 1, 3)],
    npnet.InstanceNorm1d: [(4, 3, 5), (3, 5), (2, 3, 0)],
    npnet.InstanceNorm2d: [(4, 3, 5, 2), (3, 1, 2)],
    npnet.InstanceNorm3d: [(2, 3, 2, 1, 3), (3, 2, 2, 2)],
    npnet.GroupNorm: [
        (4, 6),
        (150, 6),
        (4, 6, 5),
        (1, 6, 3, 4),
        (2, 6, 1, 2, 2),
        (0, 6),
        (0, 6, 4),
    ],
    npnet.LayerNorm: [(4, 5, 3), (5, 3), (1, 5, 3), (300, 5, 3), (0, 5, 3)],
    npnet.RMSNorm: [(4, 5, 3), (5, 3), (300, 5, 3), (0, 5, 3)],
    npnet.LocalResponseNorm: [(1, 5, 7), (2, 5, 3, 3), (2, 4, 2, 2, 2), (3, 1, 2), (0, 5, 7)],
}
OPTIONS = {
    npnet.GroupNorm: [{"num_groups": g, "num_channels": 6, **more}
                      for g in (1, 3, 6) for more in AFFINE],
    npnet.LayerNorm: [{"normalized_shape": shape, **more} for shape in (3, (5, 3))
                      for more in ({}, {"elementwise_affine": False}, {"bias": False})],
    npnet.RMSNorm: [{"normalized_shape": shape, **more} for shape in ([3], (5, 3))
                    for more in ({}, {"elementwise_affine": False}, {"eps": 0.1})],
    npnet.LocalResponseNorm: [
        {"size": 3}, {"size": 2, "alpha": 1.0}, {"size": 1, "alpha": 1.0, "beta": 0.5, "k": 2.0},
        {"size": 7, "alpha": 0.1, "beta": 0.3}, {"size": 20, "alpha": 0.5}],
}  # fmt: skip
for kind in (npnet.BatchNorm1d, npnet.BatchNorm2d, npnet.BatchNorm3d):
    OPTIONS[kind] = [{"num_features": 3, **more} for more in AFFINE + TRACKED]
for kind in (npnet.InstanceNorm1d, npnet.InstanceNorm2d, npnet.InstanceNorm3d):
    OPTIONS[kind] = [
        {"num_features": 3, "affine": True, "track_running_stats": tracks, **more}
        for tracks in (True, False) for more in AFFINE + TRACKED[:3]
    ]  # fmt: skip


@pytest.fixture(params=["numpy", "auto"])
def implementation(request):
    """Choose the form of the kernels for a test."""
    before = npnet.ops.active()
    npnet.ops.use(request.param)
    yield request.param
    npnet.ops.use(before)


@pytest.mark.parametrize("kind", SHAPES, ids=lambda kind: kind.__name__)
def test_passes_gradients_and_buffers_are_those_of_torch(kind, implementation, rng):
    torch = pytest.importorskip("torch", reason="needs the oracle: pip install torch")
    for options in OPTIONS[kind][:: 5 if implementation == "numpy" else 1]:
        for shape in SHAPES[kind]:
            layer = kind(**options).astype(np.float64)
            reference = getattr(torch.nn, kind.__name__)(**options).double()
            for p in layer.parameters():
                p.data = rng.normal(size=p.shape)
            state = {name: torch.from_numpy(a) for name, a in layer.state_dict().items()}
            reference.load_state_dict(state)
            for training in (True, True, False):
                compare(layer, reference.train(training), torch, shape, rng)


def compare(layer, reference, torch, shape, rng):
    close = {"rtol": 1e-9, "atol": 1e-10}
    x = rng.normal(size=shape) * 2 + 5
    grad = rng.normal(size=shape)
    tx = torch.from_numpy(x.copy()).requires_grad_()
    ty = reference(tx)
    reference.zero_grad()
    layer.zero_grad()
    ty.backward(torch.from_numpy(grad))
    y, tape = layer.record(x, training=reference.training)
    np.testing.assert_allclose(y, ty.detach().numpy(), **close)
    dx = tape.backward(grad, input_grad=True)
    np.testing.assert_allclose(dx, tx.grad.numpy(), **close)
    theirs = dict(reference.named_parameters())
    for name, p in layer.named_parameters():
        np.testing.assert_allclose(p.grad, theirs[name].grad.numpy(), **close)
    expected = reference.state_dict()
    assert list(expected) == list(layer.state_dict())
    for name, value in layer.state_dict().items():
        np.testing.assert_allclose(value, expected[name].numpy(), **close)
        assert value.dtype == expected[name].numpy().dtype


FAR = {
    "batch": (lambda: npnet.BatchNorm2d(3), (40, 3, 20, 20), (0, 2, 3)),
    "batch, two axes": (lambda: npnet.BatchNorm1d(3), (5000, 3), (0,)),
    "instance": (lambda: npnet.InstanceNorm1d(3), (4, 3, 5000), (2,)),
    "group": (lambda: npnet.GroupNorm(1, 3), (4, 3, 500), (1, 2)),
    "layer": (lambda: npnet.LayerNorm(1000), (7, 1000), (1,)),
}


@pytest.mark.usefixtures("implementation")
@pytest.mark.parametrize("name", FAR)
def test_float32_is_right_far_from_zero(name, rng):
    make, shape, axes = FAR[name]
    x = (1e4 + 1e-2 * rng.normal(size=shape)).astype(np.float32)
    layer, grad = make(), rng.normal(size=shape)
    exact = x.astype(np.float64)
    mean, var = exact.mean(axes, keepdims=True), exact.var(axes, keepdims=True)
    scale = 1 / np.sqrt(var + layer.eps)
    z = (exact - mean) * scale
    projected = z * (grad * z).mean(axes, keepdims=True) + grad.mean(axes, keepdims=True)
    y, tape = layer.record(x)
    dx = tape.backward(grad, input_grad=True)
    np.testing.assert_allclose(y, z, atol=2e-5)
    np.testing.assert_allclose(dx, (grad - projected) * scale, atol=2e-5 * scale.max())
    if getattr(layer, "running_var", None) is not None:
        count = x.size / 3
        unbiased = var.reshape(-1) * count / (count - 1)
        np.testing.assert_allclose(layer.running_mean, 0.1 * mean.reshape(-1), rtol=1e-6)
        np.testing.assert_allclose(layer.running_var, 0.9 + 0.1 * unbiased, rtol=1e-6)


def test_a_batch_whose_samples_differ_much(rng):
    # The first samples say nothing about the others.
    x = rng.normal(size=(200, 2, 700)).astype(np.float32)
    x[:30] -= 1000
    y, _ = npnet.BatchNorm1d(2).record(x)
    exact = x.astype(np.float64)
    z = exact - exact.mean((0, 2), keepdims=True)
    z /= np.sqrt((z**2).mean((0, 2), keepdims=True) + 1e-5)
    np.testing.assert_allclose(y, z, atol=1e-5)


def test_buffers_move_in_recorded_training_passes_only(rng):
    x = rng.normal(size=(4, 3, 5)).astype(np.float32)
    for kind in (npnet.BatchNorm1d, npnet.InstanceNorm1d):
        layer = kind(3, track_running_stats=True)
        before = layer.state_dict()
        layer(x)
        layer.record(x, training=False)
        for name, value in layer.state_dict().items():
            np.testing.assert_array_equal(value, before[name])
        layer.record(x)
        assert (layer.running_mean != before["running_mean"]).all()
        assert layer.num_batches_tracked.dtype == np.int64
        assert layer.num_batches_tracked.shape == ()


def test_no_momentum_makes_the_mean_of_all_batches(rng):
    layer = npnet.BatchNorm1d(2, momentum=None, dtype=np.float64)
    batches = rng.normal(size=(5, 4, 2))
    for x in batches:
        layer.record(x)
    np.testing.assert_allclose(layer.running_mean, batches.mean(axis=(0, 1)))
    np.testing.assert_allclose(layer.running_var, batches.var(axis=1, ddof=1).mean(axis=0))


ONE_VALUE = [
    (npnet.BatchNorm1d(3), (1, 3)), (npnet.BatchNorm2d(3), (1, 3, 1, 1)),
    (npnet.InstanceNorm1d(3), (5, 3, 1)), (npnet.InstanceNorm2d(3), (3, 1, 1)),
    (npnet.GroupNorm(3, 3), (1, 3)),
]  # fmt: skip


@pytest.mark.parametrize(("layer", "shape"), ONE_VALUE, ids=lambda a: str(a).split("(")[0])
def test_one_value_has_no_variance(layer, shape):
    with pytest.raises(ShapeError, match=r"[Ee]xpected more than 1 value per"):
        layer.record(np.ones(shape))


def test_running_statistics_normalise_one_value():
    layer = npnet.BatchNorm1d(3)
    np.testing.assert_allclose(layer(np.ones((1, 3))), 1, rtol=1e-4)
    with pytest.raises(ShapeError, match="more than 1 value per channel when training"):
        npnet.BatchNorm1d(3, track_running_stats=False)(np.ones((1, 3)))


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        (npnet.BatchNorm1d(3), (4, 5), r"\(n, 3\) or \(n, 3, length\), got \(4, 5\)"),
        (npnet.BatchNorm1d(3), (3,), r"\(n, 3\) or"),
        (npnet.BatchNorm2d(3), (4, 3), r"\(n, 3, height, width\), got \(4, 3\)"),
        (npnet.BatchNorm3d(3), (4, 3, 1, 1), r"\(n, 3, depth, height, width\)"),
        (npnet.InstanceNorm1d(3), (4, 2, 5), r"\(n, 3, length\) or \(3, length\)"),
        (npnet.InstanceNorm2d(3), (2, 4, 4), r"\(3, height, width\), got \(2, 4, 4\)"),
        (npnet.GroupNorm(1, 3), (3,), r"\(n, 3, \.\.\.\)"),
        (npnet.LayerNorm((2, 3)), (4, 3, 2), r"\(\.\.\., 2, 3\), got \(4, 3, 2\)"),
        (npnet.RMSNorm(3), (), r"\(\.\.\., 3\)"),
        (npnet.LocalResponseNorm(2), (4, 3), "three axes at least"),
    ],
)
def test_wrong_shapes(layer, shape, expected):
    with pytest.raises(ShapeError, match=expected):
        layer(np.ones(shape))


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: npnet.BatchNorm1d(0), "num_features to be a positive integer"),
        (lambda: npnet.BatchNorm2d(3, eps=-1.0), "eps to be"),
        (lambda: npnet.BatchNorm2d(3, momentum=1.5), "momentum to be"),
        (lambda: npnet.GroupNorm(2, 3), "num_channels to be a multiple of num_groups, 2, got 3"),
        (lambda: npnet.LayerNorm(()), "normalized_shape to be one size at least"),
        (lambda: npnet.LayerNorm(3, eps=None), "eps to be"),
        (lambda: npnet.LocalResponseNorm(0), "size to be a positive integer"),
        (lambda: npnet.BatchNorm1d(3, device="cpu"), "computes on the CPU"),
    ],
)
def test_wrong_arguments(make, expected):
    with pytest.raises(ArgumentError, match=expected):
        make()


def test_rms_norm_adds_the_rounding_unit_of_the_dtype():
    for dtype in (np.float32, np.float64):
        y = npnet.RMSNorm(2, dtype=dtype)(np.full(2, 1e-6, dtype))
        np.testing.assert_allclose(y, 1e-6 / np.sqrt(1e-12 + np.finfo(dtype).eps), rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rms_norm_says_that_it_depends_on_the_dtype(dtype, rng):
    layer = npnet.RMSNorm(3, dtype=dtype)
    assert layer.depends_on_dtype
    assert check_layer(layer, rng.normal(size=(4, 3))).ok
    assert check_layer(npnet.Sequential(layer), rng.normal(size=(4, 3))).ok
    assert not npnet.RMSNorm(3, 0.1).depends_on_dtype


@pytest.mark.parametrize("make", [lambda d: npnet.BatchNorm1d(3, dtype=d),
                                  lambda d: npnet.GroupNorm(1, 3, dtype=d),
                                  lambda d: npnet.LayerNorm(2000, dtype=d)])  # fmt: skip
def test_half_precision_is_computed_in_single(make, rng):
    x = (rng.normal(size=(4, 3, 2000)) * 50).astype(np.float16)  # the sum of squares overflows
    single, half = make(np.float32), make(np.float16)
    y, tape = half.record(x)
    expected, reference = single.record(x)
    assert y.dtype == np.float16
    np.testing.assert_allclose(y, expected, rtol=2e-3, atol=1e-6)
    grad = rng.normal(size=x.shape).astype(np.float16)
    dx, expected = (t.backward(grad, input_grad=True) for t in (tape, reference))
    assert dx.dtype == np.float16
    np.testing.assert_allclose(dx, expected, rtol=2e-3, atol=1e-6)


def test_nan_and_infinity_stay_in_their_channel():
    x = np.ones((2, 3, 4))
    x[0, 0, 0], x[0, 1, 0] = np.inf, np.nan
    for layer in (npnet.BatchNorm1d(3), npnet.InstanceNorm1d(3)):
        y, _ = layer.record(x)
        assert np.isnan(y[0, :2]).all()
        assert (y[:, 2] == 0).all()


def test_the_dtype_of_a_layer_without_parameters_is_made_again():
    layer = npnet.BatchNorm1d(3, affine=False, dtype=np.float64)
    again = npnet.BatchNorm1d.from_config(layer.get_config())
    assert again.running_mean.dtype == np.float64
