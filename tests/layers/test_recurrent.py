"""Recurrent layers against PyTorch, naive loops, and at the edges."""

import itertools

import numpy as np
import pytest

import npnet
from npnet.gradcheck import check_layer

T, N, D, H = 5, 4, 3, 2
CLOSE = {"rtol": 1e-9, "atol": 1e-12}
KINDS = [
    (npnet.RNN, {}), (npnet.RNN, {"nonlinearity": "relu"}), (npnet.GRU, {}), (npnet.LSTM, {}),
    (npnet.LSTM, {"hidden_size": 3, "proj_size": 2}),
]  # fmt: skip
EACH = pytest.mark.parametrize(("kind", "options"), KINDS)


def made(kind, options, **more):
    options = {"input_size": D, "hidden_size": H, "dtype": np.float64, "rng": 0} | options | more
    return kind(**options)


def of_torch(layer):
    """Return PyTorch's layer with the same weights."""
    torch = pytest.importorskip("torch", reason="needs the oracle: pip install torch")
    config = {k: v for k, v in layer.get_config().items() if k != "dtype"}
    reference = getattr(torch.nn, type(layer).__name__)(**config).double()
    reference.load_state_dict({n: torch.from_numpy(v) for n, v in layer.state_dict().items()})
    return reference


def states(layer, rng, *batch):
    """Draw initial states."""
    count = layer.num_layers * (1 + layer.bidirectional)
    sizes = (getattr(layer, "proj_size", 0) or layer.hidden_size, layer.hidden_size)
    return [rng.normal(size=(count, *batch, n)) for n in sizes[: 1 + isinstance(layer, npnet.LSTM)]]


def torch_pass(reference, x, starts, lengths=None, grads=None):
    """Return PyTorch's outputs and the gradients of x and the states."""
    import torch
    from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

    x, *starts = (torch.from_numpy(np.array(a)).requires_grad_() for a in (x, *starts))
    hx = (tuple(starts) if len(starts) == 2 else starts[0]) if starts else None
    first = reference.batch_first
    if lengths is None:
        output, ends = reference(x, hx)
    else:
        packed = pack_padded_sequence(x, torch.tensor(lengths), first, enforce_sorted=False)
        output, ends = reference(packed, hx)
        output, _ = pad_packed_sequence(output, first, total_length=x.shape[1 if first else 0])
    outputs = (output, *ends) if isinstance(ends, tuple) else (output, ends)
    pairs = [(y, g) for y, g in zip(outputs, grads, strict=True) if g is not None]
    sum((y * torch.from_numpy(g)).sum() for y, g in pairs).backward()
    return [y.detach().numpy() for y in outputs], [a.grad.numpy() for a in (x, *starts)]


def compare(layer, x, starts, rng, lengths=None, unused=()):
    """Compare outputs and all gradients with PyTorch's."""
    reference = of_torch(layer)
    layer.zero_grad()
    more = []
    if lengths is not None:
        needed = 2 if isinstance(layer, npnet.LSTM) else 1
        more = [*starts, *[None] * (needed - len(starts)), np.array(lengths)]
    outputs, tape = layer.record(x, *(more or starts))
    grads = [None if i in unused else rng.normal(size=y.shape) for i, y in enumerate(outputs)]
    expected, theirs = torch_pass(reference, x, starts, lengths, grads)
    for y, e in zip(outputs, expected, strict=True):
        np.testing.assert_allclose(y, e, **CLOSE)
    inferred = layer(x, *(more or starts))
    for y, e in zip(inferred, outputs, strict=True):
        np.testing.assert_array_equal(y, e)
    found = tape.backward(*grads, input_grad=True)
    found = found if isinstance(found, tuple) else (found,)
    for a, e in zip(found, theirs, strict=False):
        np.testing.assert_allclose(a, e, **CLOSE)
    for (name, p), (other, q) in zip(
        layer.named_parameters(), reference.named_parameters(), strict=True
    ):
        assert name == other
        np.testing.assert_allclose(p.grad, q.grad.numpy(), **CLOSE, err_msg=name)


@EACH
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_passes_are_those_of_torch(kind, options, layers, bidirectional, rng):
    for bias, batch_first, start in itertools.product([False, True], repeat=3):
        layer = made(kind, options, num_layers=layers, bidirectional=bidirectional,
                     bias=bias, batch_first=batch_first)  # fmt: skip
        x = rng.normal(size=(T, N, D))
        compare(layer, x, states(layer, rng, x.shape[not batch_first]) if start else [], rng)
    compare(layer, rng.normal(size=(T, D)), states(layer, rng), rng)
    compare(layer, rng.normal(size=(1, 1, D)) * 1e4, [], rng)


@EACH
@pytest.mark.parametrize("lengths", [[2, 5, 1, 3], [4, 4, 4, 4], [5, 5, 5, 5]])
def test_lengths_are_respected_as_packing_does(kind, options, lengths, rng):
    for bidirectional, batch_first, start in itertools.product([False, True], repeat=3):
        layer = made(kind, options, num_layers=2, bidirectional=bidirectional,
                     batch_first=batch_first)  # fmt: skip
        x = rng.normal(size=(N, T, D) if batch_first else (T, N, D))
        compare(layer, x, states(layer, rng, N) if start else [], rng, lengths)
        steps = x if batch_first else x.transpose(1, 0, 2)
        for row, length in zip(steps, lengths, strict=True):
            row[length:] = np.nan
        outputs, tape = layer.record(x, lengths=lengths)
        tape.backward(*map(np.ones_like, outputs))
        assert all(np.isfinite(y).all() for y in (*outputs, *(p.grad for p in layer.parameters())))


@EACH
def test_a_sequence_of_length_0_keeps_its_state(kind, options, rng):
    layer = made(kind, options, num_layers=2, bidirectional=True)
    x, starts = rng.normal(size=(T, N, D)), states(layer, rng, N)
    needed = [np.array([3, 0, 5, 0])]
    y, *ends = layer(x, *starts, *needed)
    assert not y[:, [1, 3]].any()
    for end, start in zip(ends, starts, strict=True):
        np.testing.assert_array_equal(end[:, [1, 3]], start[:, [1, 3]])
    y, *ends = layer(np.zeros((0, N, D)), *starts)
    assert y.shape == (0, N, 2 * layer.weight_hh_l0.shape[1])
    for end, start in zip(ends, starts, strict=True):
        np.testing.assert_array_equal(end, start)


@EACH
def test_gradients_of_unused_outputs_may_be_none(kind, options, rng):
    layer = made(kind, options, num_layers=2, bidirectional=True)
    x, starts = rng.normal(size=(T, N, D)), states(layer, rng, N)
    for unused in ([0], [1], range(1, 1 + len(starts)), range(len(starts))):
        layer.zero_grad()
        compare(layer, x, starts, rng, [2, 5, 1, 3], unused)


@EACH
def test_the_contract_is_kept(kind, options, rng):
    layer = made(kind, options, bidirectional=True)
    x, starts = rng.normal(size=(3, 2, D)), states(layer, rng, 2)
    assert check_layer(layer, x, *starts, batch_axis=1).ok


@pytest.mark.parametrize("kind", [npnet.GRU, npnet.LSTM])
def test_the_contract_is_kept_with_lengths(kind, rng):
    layer = made(kind, {}, batch_first=True)
    x, starts = rng.normal(size=(3, 2, D)), states(layer, rng, 3)
    assert check_layer(layer, x, *starts, np.array([2, 1, 2]), batch_axis=None).ok


def test_dropout_of_one_layer_is_told_to_drop_nothing(monkeypatch, capsys):
    monkeypatch.setattr("npnet.ops.warn._shown", set())
    npnet.GRU(3, 4, 2, dropout=0.5)
    assert capsys.readouterr().err == ""
    npnet.GRU(3, 4, dropout=0.5)
    assert "GRU is between its layers: with one it drops nothing" in capsys.readouterr().err


def test_dropout_is_between_layers_and_in_training_only(rng):
    x = rng.normal(size=(T, N, D))
    for kind, options in KINDS:
        plain = made(kind, options, num_layers=2)
        layer = made(kind, options, num_layers=2, dropout=0.5)
        np.testing.assert_array_equal(layer(x)[0], plain(x)[0])
        np.testing.assert_array_equal(layer.record(x, training=False)[0][0], plain(x)[0])
        y = layer.record(x, rng=1)[0][0]
        np.testing.assert_array_equal(y, layer.record(x, rng=1)[0][0])
        assert (y != plain(x)[0]).any()
        one = made(kind, options, dropout=0.5)
        np.testing.assert_array_equal(one.record(x)[0][0], one(x)[0])
        below = made(kind, options)
        below.load_state_dict(layer.state_dict(), strict=False)
        mask = np.where(np.random.default_rng(1).random(below(x)[0].shape) < 0.5, 0, 2)
        above = made(kind, options, input_size=mask.shape[-1])
        above.load_state_dict(
            {
                name.replace("_l1", "_l0"): value
                for name, value in layer.state_dict().items()
                if "_l1" in name
            }
        )
        np.testing.assert_allclose(above(below(x)[0] * mask)[0], y, rtol=1e-12)
        if kind is npnet.GRU:
            assert check_layer(layer, x, batch_axis=1, only=["gradients"]).ok
        gone = made(kind, options, num_layers=2, dropout=1.0)
        (a, *_), tape = gone.record(x)
        np.testing.assert_array_equal(a, gone.record(2 * x)[0][0])
        assert not tape.backward(
            np.ones_like(a), *[None] * (len(plain(x)) - 1), input_grad=True
        ).any()


@pytest.mark.parametrize("kind", [npnet.RNNCell, npnet.GRUCell, npnet.LSTMCell])
@pytest.mark.parametrize("bias", [True, False])
def test_cells_are_those_of_torch(kind, bias, rng):
    torch = pytest.importorskip("torch", reason="needs the oracle: pip install torch")
    layer = kind(D, H, bias, dtype=np.float64)
    reference = of_torch(layer)
    for batch, start in itertools.product([(N,), (), (1,), (0,)], [True, False]):
        layer.zero_grad()
        reference.zero_grad()
        count = 1 + (kind is npnet.LSTMCell)
        x, *h = rng.normal(size=(*batch, D)), *rng.normal(size=(count * start, *batch, H))
        tensors = [torch.from_numpy(np.array(a)).requires_grad_() for a in (x, *h)]
        hx = (tuple(tensors[1:]) if count == 2 else tensors[1]) if start else None
        expected = reference(tensors[0], hx)
        expected = expected if count == 2 else (expected,)
        found, tape = layer.record(x, *h)
        found = found if count == 2 else (found,)
        grads = [rng.normal(size=y.shape) for y in found]
        sum(
            (y * torch.from_numpy(g)).sum() for y, g in zip(expected, grads, strict=True)
        ).backward()
        for y, e in zip(found, expected, strict=True):
            np.testing.assert_allclose(y, e.detach().numpy(), **CLOSE)
        results = tape.backward(*grads, input_grad=True)
        for a, t in zip(results if start else [results], tensors, strict=True):
            np.testing.assert_allclose(a, t.grad.numpy(), **CLOSE)
        for p, q in zip(layer.parameters(), reference.parameters(), strict=True):
            np.testing.assert_allclose(p.grad, q.grad.numpy(), **CLOSE)
    if bias:
        starts = rng.normal(size=(count, N, H))
        assert check_layer(kind(D, H), rng.normal(size=(N, D)), *starts).ok


def test_values_start_as_in_torch():
    torch = pytest.importorskip("torch", reason="needs the oracle: pip install torch")
    for name, k in (("LSTM", 0.1), ("GRUCell", 0.1)):
        ours, theirs = getattr(npnet, name)(30, 100), getattr(torch.nn, name)(30, 100)
        for (n, p), (m, q) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
            assert (n, p.shape, p.dtype) == (m, tuple(q.shape), np.float32)
            assert np.abs(p.data).max() <= k
            np.testing.assert_allclose(p.data.std(), k / np.sqrt(3), rtol=0.15)


@EACH
def test_frozen_weights_have_no_gradient_and_keep_no_input(kind, options, rng):
    layer = made(kind, options)
    x = rng.normal(size=(T, N, D))
    layer.weight_ih_l0.requires_grad_(False)
    layer.bias_hh_l0.requires_grad_(False)
    outputs, tape = layer.record(x)
    assert tape._ctx.saved[0][0] is None
    dx = tape.backward(*map(np.ones_like, outputs), input_grad=True)
    assert dx.shape == x.shape
    assert [name for name, p in layer.named_parameters() if p.grad is None] == [
        "weight_ih_l0", "bias_hh_l0",
    ]  # fmt: skip


def test_products_of_a_pass():
    lstm = npnet.LSTM(D, 4, 2, batch_first=True, proj_size=2)
    assert lstm.matmul_shapes((N, T, D)) == [
        (N * T, D, 16), *T * [(N, 2, 16)], *T * [(N, 4, 2)],
        (N * T, 2, 16), *T * [(N, 2, 16)], *T * [(N, 4, 2)],
    ]  # fmt: skip
    assert npnet.RNN(D, H).matmul_shapes((T, N, D))[1:] == T * [(N, H, H)]
    assert npnet.RNN(D, H).matmul_shapes((T, D))[1:] == T * [(1, H, H)]
    assert "RNN" in str(npnet.RNN(D, H, batch_first=True).summary((T, D)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_large_and_special_numbers_are_those_of_torch(dtype):
    torch = pytest.importorskip("torch", reason="needs the oracle: pip install torch")
    x = np.array(
        [0, 1e-30, -1e-4, 1, 20, -50, 90, -120, 800, -1e30, np.inf, -np.inf, np.nan], dtype
    )
    x = x[:, np.newaxis]
    for name in ("RNN", "GRU", "LSTM"):
        layer = getattr(npnet, name)(1, 1, bias=False, dtype=dtype, rng=0)
        layer.weight_ih_l0.data = np.ones(layer.weight_ih_l0.shape)
        theirs = of_torch(layer)
        for value in x:
            expected = theirs(torch.from_numpy(value[np.newaxis].astype(float)))[0].detach().numpy()
            eps = np.finfo(dtype).eps
            np.testing.assert_allclose(
                layer(value[np.newaxis])[0], expected, rtol=8 * eps, atol=eps
            )


# --- mistakes


@pytest.mark.parametrize(("call", "match"), [
    (lambda: npnet.GRU(0, 2), "input_size to be a positive integer"),
    (lambda: npnet.RNN(2, 3, nonlinearity="sigmoid"), "'tanh' or 'relu'"),
    (lambda: npnet.LSTM(2, 3, proj_size=3), "proj_size"),
    (lambda: npnet.GRU(2, 3, proj_size=2), "only LSTM has a projection"),
    (lambda: npnet.GRU(2, 3, dropout=1.5), "dropout"),
    (lambda: npnet.GRU(2, 3, device="cpu"), "on the CPU"),
    (lambda: npnet.GRU(2, 3, return_sequences=True), "first output"),
    (lambda: npnet.GRU(2, 3)(np.ones((4, 5, 3))), r"\(T, N, 2\), or \(T, 2\)"),
    (lambda: npnet.GRU(2, 3, batch_first=True)(np.ones(2)), r"\(N, T, 2\)"),
    (lambda: npnet.GRU(2, 3)(np.ones((4, 5, 2)), np.ones((5, 3))), r"h0 of shape \(1, 5, 3\)"),
    (lambda: npnet.LSTM(2, 3)(np.ones((4, 2)), None, np.ones((2, 3))), r"c0 of shape \(1, 3\)"),
    (lambda: npnet.LSTM(2, 3)(np.ones((4, 2)), (np.ones((1, 3)), np.ones((1, 3)))), "several"),
    (lambda: npnet.GRU(2, 3)(np.ones((4, 5, 2)), lengths=[4, 4]), r"lengths of shape \(5,\)"),
    (lambda: npnet.GRU(2, 3)(np.ones((4, 2, 2)), lengths=[4, 5]), "from 0 to 4"),
    (lambda: npnet.GRU(2, 3)(np.ones((4, 2, 2)), lengths=[4.0, 3.0]), "expected integers"),
    (lambda: npnet.GRU(2, 3)(np.ones((4, 2)), lengths=np.array(5)), "from 0 to 4"),
    (lambda: npnet.GRU(2, 3)(np.ones((4, 2)), hx=np.ones((1, 3))), "initial states are inputs"),
    (lambda: npnet.GRUCell(2, 3)(np.ones((4, 5, 2))), r"\(N, 2\), or \(2,\)"),
    (lambda: npnet.LSTMCell(2, 3)(np.ones((4, 2)), np.ones((2, 3))), r"h of shape \(4, 3\)"),
])  # fmt: skip
def test_mistakes_are_named(call, match):
    with pytest.raises(npnet.NpnetError, match=match):
        call()
