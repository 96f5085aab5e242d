"""Convolutions, transposed ones and their columns: beside PyTorch over many options, and edges."""

import itertools
import tracemalloc

import numpy as np
import pytest

import npnet
from npnet.errors import ArgumentError, NpnetError, ShapeError
from npnet.ops import conv

F64 = {"rtol": 1e-9, "atol": 1e-12}
MODES = ("zeros", "reflect", "replicate", "circular")


def compare(ours, theirs, x, rng, **inputs):
    """Compare values and all gradients in float64, parameters copied from PyTorch's layer."""
    torch = pytest.importorskip("torch", reason="needs the oracle: pip install torch")
    theirs = theirs.double()
    ours = ours.astype(np.float64)
    ours.load_state_dict(theirs.state_dict())
    tx = torch.from_numpy(x.copy()).requires_grad_()
    expected = theirs(tx, **{name: list(map(int, v)) for name, v in inputs.items()})
    upstream = rng.normal(size=tuple(expected.shape))
    expected.backward(torch.from_numpy(upstream))
    y, tape = ours.record(x, **inputs)
    dx = tape.backward(upstream, input_grad=True)
    np.testing.assert_allclose(y, expected.detach().numpy(), **F64)
    np.testing.assert_allclose(dx[0] if inputs else dx, tx.grad.numpy(), **F64)
    for name, p in theirs.named_parameters():
        np.testing.assert_allclose(dict(ours.named_parameters())[name].grad, p.grad, **F64)


def options(axes, rng):
    """Draw sizes and options that go with each other or not."""

    def draw(low, high):
        return tuple(rng.integers(low, high, axes).tolist())

    groups = int(rng.choice([1, 1, 2, 3]))
    channels = (rng.integers(1, 3, 2) * groups).tolist()
    return channels, draw(2, 8), {
        "kernel_size": draw(1, 4), "stride": draw(1, 4), "padding": draw(0, 3),
        "dilation": draw(1, 3), "groups": groups, "bias": bool(rng.integers(2)),
    }  # fmt: skip


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("small_tiles", [False, True])
def test_any_options_give_what_pytorch_gives(axes, small_tiles, rng, monkeypatch):
    torch = pytest.importorskip("torch", reason="needs the oracle: pip install torch")
    if small_tiles:  # images are cut into rows
        monkeypatch.setattr(conv.columns, "_TILE", 20)
    done = 0
    while done < 16:
        channels, size, given = options(axes, rng)
        if done % 3 == 0:
            given |= {"padding": "same", "stride": (1,) * axes}
        given["padding_mode"] = MODES[done % 4]
        theirs = getattr(torch.nn, f"Conv{axes}d")(*channels, **given)
        x = rng.normal(size=(int(rng.integers(1, 4)), channels[0], *size))
        try:
            theirs.double()(torch.from_numpy(x))
        except RuntimeError:  # too small an input
            with pytest.raises(ShapeError):
                getattr(npnet, f"Conv{axes}d")(*channels, **given)(x)
            continue
        compare(getattr(npnet, f"Conv{axes}d")(*channels, **given), theirs, x, rng)
        done += 1


@pytest.mark.parametrize("axes", [1, 2])
@pytest.mark.parametrize("one_image_at_a_time", [False, True])
def test_channels_by_themselves_give_what_pytorch_gives(
    axes, one_image_at_a_time, rng, monkeypatch
):
    torch = pytest.importorskip("torch", reason="needs the oracle: pip install torch")
    if one_image_at_a_time:
        monkeypatch.setattr(conv.depthwise, "_BLOCK", 20)
    for outputs, kernel, stride, padding, dilation in itertools.product(
        (1, 2), (2, 3), (1, 2, 3), (0, 2), (1, 2)
    ):
        arguments = 3, 3 * outputs, kernel, stride, padding, dilation, 3
        ours, theirs = (getattr(m, f"Conv{axes}d")(*arguments) for m in (npnet, torch.nn))
        compare(ours, theirs, rng.normal(size=(3, 3, *(6, 7)[:axes])), rng)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_any_options_of_transposed_ones_give_what_pytorch_gives(axes, rng):
    torch = pytest.importorskip("torch", reason="needs the oracle: pip install torch")
    done = 0
    while done < 16:
        channels, size, given = options(axes, rng)
        limits = map(max, given["stride"], given["dilation"])
        given["output_padding"] = tuple(int(rng.integers(n)) for n in limits)
        theirs = getattr(torch.nn, f"ConvTranspose{axes}d")(*channels, **given)
        ours = getattr(npnet, f"ConvTranspose{axes}d")(*channels, **given)
        x = rng.normal(size=(2, channels[0], *size))
        try:
            shape = theirs.double()(torch.from_numpy(x)).shape
        except RuntimeError:
            with pytest.raises(ShapeError):
                ours(x)
            continue
        least = [n - more for n, more in zip(shape[2:], given["output_padding"], strict=True)]
        wanted = [int(rng.integers(n, n + s)) for n, s in zip(least, given["stride"], strict=True)]
        compare(ours, theirs, x, rng)
        if min(wanted) > 0:
            compare(ours, theirs, x, rng, output_size=wanted)
        done += 1


def test_windows_of_images_and_their_sums_are_those_of_pytorch(rng):
    torch = pytest.importorskip("torch", reason="needs the oracle: pip install torch")
    done = 0
    while done < 8:
        _, size, given = options(2, rng)
        given = {k: given[k] for k in ("kernel_size", "dilation", "padding", "stride")}
        x = rng.normal(size=(2, 3, *size))
        try:
            columns = torch.nn.Unfold(**given)(torch.from_numpy(x))
        except RuntimeError:
            with pytest.raises(ShapeError):
                npnet.Unfold(**given)(x)
            continue
        compare(npnet.Unfold(**given), torch.nn.Unfold(**given), x, rng)
        columns = rng.normal(size=tuple(columns.shape))
        compare(npnet.Fold(size, **given), torch.nn.Fold(size, **given), columns, rng)
        done += 1


def test_columns_of_single_elements_are_a_copy():
    x = np.ones((1, 1, 2, 2))
    y, tape = npnet.Unfold(1).record(x)
    y[...] = 0
    assert x.all()
    assert tape.backward(y, input_grad=True).flags.writeable


def test_a_convolution_is_the_sum_that_defines_it(rng):
    layer = npnet.Conv2d(2, 3, 2, (1, 2), (1, 0), (1, 2), dtype=np.float64)
    x = rng.normal(size=(2, 2, 3, 5))
    y = layer(x)
    w, b = layer.weight.data, layer.bias.data
    for n, k, o, p in np.ndindex(y.shape):
        total = b[k]
        for c, i, j in itertools.product(range(2), range(2), range(2)):
            row, column = o + i - 1, 2 * p + 2 * j
            if 0 <= row < 3:
                total += w[k, c, i, j] * x[n, c, row, column]
        assert y[n, k, o, p] == pytest.approx(total, rel=1e-12)


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("given", [
    (16, 24, 3), (16, 24, 3, 1, 1), (3, 16, 5, 1, 2), (8, 8, 3, 2, 1), (16, 8, 1), (16, 8, 1, 2),
    (8, 8, 3, 1, 1, 1, 8), (1, 40, 3),
])  # fmt: skip
def test_float32_at_sizes_in_use(given, exact, rng):
    torch = pytest.importorskip("torch", reason="needs the oracle: pip install torch")
    layer, theirs = npnet.Conv2d(*given, exact=exact), torch.nn.Conv2d(*given)
    layer.load_state_dict(theirs.state_dict())
    x = rng.normal(size=(5, given[0], 18, 21)).astype(np.float32)
    tx = torch.from_numpy(x).double().requires_grad_()
    expected = theirs.double()(tx)
    upstream = rng.normal(size=tuple(expected.shape)).astype(np.float32)
    expected.backward(torch.from_numpy(upstream).double())
    y, tape = layer.record(x)
    dx = tape.backward(upstream, input_grad=True)
    pairs = [(y, expected), (dx, tx.grad), (layer.weight.grad, theirs.weight.grad),
             (layer.bias.grad, theirs.bias.grad)]  # fmt: skip
    for mine, right in pairs:
        right = right.detach().numpy()
        assert mine.dtype == np.float32
        error = np.abs(mine - right).max() / np.abs(right).max()
        assert error < (3e-6 if exact else 3e-5)


@pytest.mark.parametrize("layer", [
    npnet.Conv2d(2, 4, 1), npnet.Conv2d(2, 4, 1, groups=2), npnet.Conv2d(2, 4, 3),
    npnet.Conv2d(16, 16, 3), npnet.Conv2d(8, 8, 3, 2), npnet.ConvTranspose2d(2, 4, 1),
    npnet.ConvTranspose2d(8, 8, 3, 2),
], ids=repr)  # fmt: skip
def test_an_empty_batch_has_gradients_of_zero(layer):
    shape = (0, layer.in_channels, 7, 6)
    y, tape = layer.record(np.ones(shape))
    assert y.shape[:2] == (0, layer.out_channels)
    assert tape.backward(y, input_grad=True).shape == shape
    assert not layer.weight.grad.any()
    assert not layer.bias.grad.any()


def test_a_long_signal_needs_little_more_memory_than_it_has():
    layer = npnet.Conv1d(4, 4, 9, padding="same")
    x = np.zeros((1, 4, 200_000), np.float32)
    layer(x[:, :, :100])
    tracemalloc.start()
    y, tape = layer.record(x)
    tape.backward(y, input_grad=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3.5 * x.nbytes  # all columns would be 9 times the input


def test_a_frozen_weight_keeps_nothing(rng):
    for layer in (npnet.Conv1d(2, 3, 2), npnet.ConvTranspose1d(2, 3, 2)):
        layer.weight.requires_grad_(False)
        y, tape = layer.record(rng.normal(size=(2, 2, 5)))
        layer.bias.requires_grad_(False)
        assert tape.backward(y, input_grad=True).shape == (2, 2, 5)
        assert layer.weight.grad is layer.bias.grad is None
        _, tape = layer.record(rng.normal(size=(2, 2, 5)))
        layer.weight.requires_grad_(True)
        with pytest.raises(ArgumentError, match="record the pass again"):
            tape.backward(y)


def test_initial_values_are_uniform_within_pytorchs_bounds():
    torch = pytest.importorskip("torch", reason="needs the oracle: pip install torch")
    for name in ("Conv2d", "ConvTranspose2d"):
        ours = getattr(npnet, name)(20, 60, 3, groups=4, rng=0)
        theirs = getattr(torch.nn, name)(20, 60, 3, groups=4)
        for kind in ("weight", "bias"):
            a, b = getattr(ours, kind).data, getattr(theirs, kind).detach().numpy()
            bound = np.abs(theirs.weight.detach().numpy()).max()
            assert a.shape == b.shape
            assert np.abs(a).max() <= 1.01 * bound
            np.testing.assert_allclose(a.std(), bound / np.sqrt(3), rtol=0.2)


def test_arguments_are_shown_shortly_and_kept_whole():
    layer = npnet.Conv2d(4, 6, (3, 5), padding=(0, 0), groups=2, bias=False)
    text = "Conv2d(in_channels=4, out_channels=6, kernel_size=(3, 5), groups=2, bias=False)"
    assert repr(layer) == text
    assert (layer.stride, layer.padding, layer.dilation) == ((1, 1), (0, 0), (1, 1))
    assert repr(npnet.Conv2d.from_config(layer.get_config())) == text


def test_the_arithmetic_of_a_pass_is_counted():
    model = npnet.Sequential(npnet.Conv2d(4, 6, 3, groups=2), npnet.ConvTranspose2d(6, 4, 2, 2))
    rows = model.summary((4, 6, 6)).rows
    assert [row.flops for row in rows] == [2 * 16 * 6 * 2 * 9, 2 * 16 * 6 * 4 * 4]
    assert [row.output_shape for row in rows] == [(1, 6, 4, 4), (1, 4, 8, 8)]


CONV, UP = npnet.Conv2d(3, 4, 3), npnet.ConvTranspose2d(3, 4, 3, 2)


@pytest.mark.parametrize(("call", "match"), [
    (lambda: CONV(np.ones((2, 8, 8, 3))), "moveaxis"),
    (lambda: npnet.Conv2d(1, 2, 3)(np.ones((5, 8, 8))), "adds the axis of channels"),
    (lambda: CONV(np.ones((2, 4, 8, 8))), r"Conv2d\(.*expected input of shape \(n, 3, height"),
    (lambda: CONV(np.ones(3)), r"got \(3,\)"),
    (lambda: CONV(np.ones((1, 3, 2, 8))), r"reaches over \(3, 3\) .* \(2, 8\) with its padding"),
    (lambda: npnet.Conv1d(1, 1, 1, padding=1)(np.ones((1, 1, 0))), "nothing to convolve"),
    (lambda: npnet.Conv1d(1, 1, 3, padding=3, padding_mode="reflect")(np.ones((1, 1, 3))),
     "at least 4 elements"),
    (lambda: npnet.Conv2d(4, 6, 3, groups=4), "groups to be a divisor"),
    (lambda: npnet.Conv2d(4, 6, 3, 2, "same"), "stride to be 1"),
    (lambda: npnet.Conv2d(4, 6, 3, padding="full"), "'valid' or 'same'"),
    (lambda: npnet.Conv2d(4, 6, (3, 3, 3)), "one for each of 2 axes"),
    (lambda: npnet.Conv2d(4, 6, 0), "kernel_size to be a positive"),
    (lambda: npnet.Conv2d(4, 6, 3, padding_mode="constant"), "padding_mode"),
    (lambda: npnet.Conv2d(4, 6, 3, strides=2), "it is called stride"),
    (lambda: npnet.Conv2d(4, 6, 3, device="cpu"), "on the CPU"),
    (lambda: npnet.Conv1d(4, 6, 3, exact=True), "exact"),
    (lambda: npnet.ConvTranspose2d(4, 6, 3, output_padding=1), "output_padding to be less"),
    (lambda: npnet.ConvTranspose2d(4, 6, 3, padding_mode="reflect"), "padding_mode to be 'zeros'"),
    (lambda: UP(np.ones((1, 3, 2, 2)), [5, 7]), r"from \(5, 5\) to \(6, 6\)"),
    (lambda: UP(np.ones((1, 3, 2, 2)), 5), "output_size"),
    (lambda: npnet.ConvTranspose1d(1, 1, 1, padding=2)(np.ones((1, 1, 3))), "would have size"),
    (lambda: UP(np.ones((1, 3, 2, 0))), "nothing to convolve"),
    (lambda: npnet.Unfold(3)(np.ones((1, 1, 2, 5))), "no window fits"),
    (lambda: npnet.Unfold(3)(np.ones((5, 5))), "height, width"),
    (lambda: npnet.Fold(4, 2)(np.ones((1, 4, 8))), r"\(n, channels \* 4, 9\)"),
    (lambda: npnet.Fold(4, 2)(np.ones((1, 5, 9))), r"\(n, channels \* 4, 9\)"),
])  # fmt: skip
def test_mistakes_are_named(call, match):
    with pytest.raises(NpnetError, match=match):
        call()
