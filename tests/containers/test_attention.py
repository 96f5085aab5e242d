"""Attention and transformer layers: every option against PyTorch, masks, blocks, dropout."""

import itertools

import numpy as np
import pytest

import npnet
from npnet.gradcheck import check_layer
from npnet.ops import attention as ops

MASKS = list(itertools.product((None, "bool", "float"), (None, "bool", "float"), (2, 3)))
E, HEADS, N, L, S = 6, 3, 2, 4, 5


def mask(rng, kind, shape):
    if kind is None:
        return None
    if kind == "float":
        return rng.normal(size=shape)
    hidden = rng.random(shape) < 0.4
    hidden[..., 0] = False  # else there is nothing to attend to
    return hidden


def tensor(torch, array):
    if array is None:
        return None
    found = torch.from_numpy(np.array(array))
    return found.requires_grad_() if found.is_floating_point() else found


def pair(torch, ours, theirs, rng):
    """Give two layers the same parameters, in float64."""
    ours, theirs = ours.astype(np.float64), theirs.double()
    for p in ours.parameters():
        p.data = rng.normal(size=p.shape)
    names = [name for name, _ in ours.named_parameters()]
    assert names == [name for name, _ in theirs.named_parameters()]
    theirs.load_state_dict({k: torch.from_numpy(v) for k, v in ours.state_dict().items()})
    return ours, theirs


def same_gradients(ours, theirs):
    gradients = dict(theirs.named_parameters())
    for name, p in ours.named_parameters():
        expected = gradients[name].grad.numpy()
        np.testing.assert_allclose(p.grad, expected, rtol=1e-9, atol=1e-11, err_msg=name)


def same(found, expected):
    for a, t in zip(found, expected, strict=True):
        if t is None or not t.requires_grad:
            assert a is None
        else:
            np.testing.assert_allclose(a, t.grad.numpy(), rtol=1e-9, atol=1e-11)


@pytest.mark.filterwarnings("ignore:Support for mismatched:UserWarning")  # masks of two kinds
@pytest.mark.parametrize("axes", ["unbatched", "batch first", "length first"])
@pytest.mark.parametrize("own", ["self", "same", "key is value", "other sizes"])
@pytest.mark.parametrize("options", range(8))
def test_multihead_attention_is_that_of_torch(axes, own, options, rng):
    torch = pytest.importorskip("torch", reason="needs the oracle: pip install torch")
    kdim, vdim = (7, 2) if own == "other sizes" else (None, None)
    kwargs = {
        "bias": bool(options & 1), "add_bias_kv": bool(options & 2),
        "add_zero_attn": bool(options & 4), "kdim": kdim, "vdim": vdim,
        "batch_first": axes == "batch first",
    }  # fmt: skip
    ours, theirs = pair(
        torch,
        npnet.MultiheadAttention(E, HEADS, **kwargs),
        torch.nn.MultiheadAttention(E, HEADS, **kwargs),
        rng,
    )
    keys = L if own in ("self", "same") else S

    def draw(length, size):
        shape = {"unbatched": (), "batch first": (N, length), "length first": (length, N)}[axes]
        return rng.normal(size=(*(shape or (length,)), size))

    n = 1 if axes == "unbatched" else N
    for i in rng.choice(len(MASKS), 6, replace=False):
        padding, attn, ndim = MASKS[i]
        padding = mask(rng, padding, (keys,) if axes == "unbatched" else (N, keys))
        attn = mask(rng, attn, (L, keys) if ndim == 2 else (n * HEADS, L, keys))
        average = bool(rng.integers(2))
        q, k, v = draw(L, E), draw(keys, kdim or E), draw(keys, vdim or E)
        inputs = {"self": (q,), "same": (q, q, q), "key is value": (q, k)}.get(own, (q, k, v))
        tensors = [tensor(torch, x) for x in inputs]
        given = [*tensors, *tensors[-1:] * 2][:3]  # the key is the query, the value the key
        t_padding, t_attn = tensor(torch, padding), tensor(torch, attn)
        masks = {"key_padding_mask": t_padding, "attn_mask": t_attn}
        expected, e_weights = theirs(*given, **masks, average_attn_weights=average)
        (y, weights), tape = ours.record(
            *inputs, key_padding_mask=padding, attn_mask=attn, average_attn_weights=average
        )
        np.testing.assert_allclose(y, expected.detach().numpy(), rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(weights, e_weights.detach().numpy(), rtol=1e-9, atol=1e-12)
        grad, dweights = rng.normal(size=y.shape), rng.normal(size=weights.shape)
        theirs.zero_grad()
        torch.autograd.backward(
            [expected, e_weights], [torch.from_numpy(grad), torch.from_numpy(dweights)]
        )
        ours.zero_grad()
        found = tape.backward(grad, dweights, input_grad=True)
        rest = [None] * (3 - len(inputs))
        same(found, [*tensors, *rest, t_padding, None, t_attn, None][: len(found)])
        same_gradients(ours, theirs)
        alone = ours(*inputs, key_padding_mask=padding, attn_mask=attn, need_weights=False)
        np.testing.assert_allclose(alone, y, rtol=1e-12)


@pytest.mark.filterwarnings("ignore:Support for mismatched:UserWarning")
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("activation", ["relu", "gelu", "PReLU"])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("depth", [0, 2])
def test_encoders_are_those_of_torch(batch_first, norm_first, activation, bias, depth, rng):
    torch = pytest.importorskip("torch", reason="needs the oracle: pip install torch")
    layers = []
    for nn in (npnet, torch.nn):
        act = nn.PReLU() if activation == "PReLU" else activation
        layer = nn.TransformerEncoderLayer(
            E, HEADS, 5, 0.0, act, 1e-3, batch_first, norm_first, bias
        )
        if depth:
            plain = {} if nn is npnet else {"enable_nested_tensor": False}
            layer = nn.TransformerEncoder(layer, depth, nn.LayerNorm(E), **plain)
        layers.append(layer)
    ours, theirs = pair(torch, *layers, rng)
    again = type(ours).from_config(ours.get_config())
    assert repr(again) == repr(ours)
    for training in (True, False):
        theirs.train(training)
        for batched, i in zip((True, False), rng.choice(len(MASKS), 2), strict=True):
            padding, attn, ndim = MASKS[i]
            n = N if batched else 1
            padding = mask(rng, padding, (N, L) if batched else (L,))
            attn = mask(rng, attn, (L, L) if ndim == 2 else (n * HEADS, L, L))
            x = rng.normal(size=((N, L) if batch_first else (L, N)) + (E,) if batched else (L, E))
            tensors = [tensor(torch, a) for a in (x, attn, padding)]
            expected = theirs(*tensors)
            y, tape = ours.record(x, attn, padding, training=training)
            np.testing.assert_allclose(y, expected.detach().numpy(), rtol=1e-9, atol=1e-11)
            grad = rng.normal(size=y.shape)
            theirs.zero_grad()
            expected.backward(torch.from_numpy(grad))
            ours.zero_grad()
            same(tape.backward(grad, input_grad=True), tensors)
            same_gradients(ours, theirs)


def test_they_start_as_in_torch():
    torch = pytest.importorskip("torch", reason="needs the oracle: pip install torch")
    torch.manual_seed(0)
    for options in ({}, {"kdim": 32}, {"add_bias_kv": True, "bias": False}):
        ours, theirs = (nn.MultiheadAttention(64, 4, **options) for nn in (npnet, torch.nn))
        for (name, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
            a, b = p.data, q.detach().numpy()
            assert a.shape == b.shape, name
            np.testing.assert_allclose(a.std(), b.std(), rtol=0.3, atol=0.0, err_msg=name)
            np.testing.assert_allclose(abs(a).max(), abs(b).max(), rtol=0.4, err_msg=name)


# --- masks


def test_no_key_may_see_what_follows_it(rng):
    layer = npnet.MultiheadAttention(4, 2, batch_first=True, is_causal=True, dtype=np.float64)
    x = rng.normal(size=(2, 5, 4))
    y, weights = layer(x)
    later = np.triu(np.ones((5, 5), bool), 1)
    assert not weights[:, later].any()
    np.testing.assert_array_equal(layer(x, attn_mask=later, is_causal=False)[0], y)
    changed = x.copy()
    changed[:, 3:] += 1
    np.testing.assert_array_equal(layer(changed)[0][:, :3], y[:, :3])
    padding = np.zeros((2, 5), bool)
    padding[:, 0] = True  # nothing is left for the first query
    y, weights = layer(x, key_padding_mask=padding)
    assert not weights[:, 0].any()
    np.testing.assert_array_equal(weights[:, 1, :2], [[0, 1]] * 2)


def test_the_lengths_of_a_padded_batch_are_respected(rng):
    make = npnet.TransformerEncoderLayer(4, 2, 8, 0.0, batch_first=True, dtype=np.float64)
    encoder = npnet.TransformerEncoder(make, 2)
    x = rng.normal(size=(2, 5, 4))
    padding = np.arange(5) >= np.array([[3], [5]])
    y = encoder(x, src_key_padding_mask=padding)
    np.testing.assert_allclose(y[0, :3], encoder(x[0, :3]), rtol=1e-12)
    np.testing.assert_allclose(y[1], encoder(x[1]), rtol=1e-12)


@pytest.mark.parametrize("kind", ["bool", "float"])
def test_a_query_from_which_all_keys_are_hidden_gets_nothing(kind, rng):
    layer = npnet.MultiheadAttention(4, 2, batch_first=True, dtype=np.float64)
    layer.out_proj.bias.data = rng.normal(size=4)
    x, hidden = rng.normal(size=(2, 3, 4)), np.zeros((2, 3), bool)
    hidden[1] = True
    padding = hidden if kind == "bool" else np.where(hidden, -np.inf, 0.0)
    (y, weights), tape = layer.record(x, key_padding_mask=padding)
    assert not weights[1].any()
    np.testing.assert_array_equal(y[1], np.broadcast_to(layer.out_proj.bias.data, (3, 4)))
    np.testing.assert_allclose(y[0], layer(x[0])[0], rtol=1e-12)
    found = tape.backward(np.ones_like(y), np.ones_like(weights), input_grad=True)
    assert not found[0][1].any()
    assert np.isfinite(found[0]).all()
    empty = np.zeros((2, 0, 4))
    (y, weights), tape = layer.record(x, empty, empty)
    assert weights.shape == (2, 3, 0)
    np.testing.assert_array_equal(y, np.broadcast_to(layer.out_proj.bias.data, y.shape))
    tape.backward(np.ones_like(y), None)
    (y, weights), tape = layer.record(empty)  # neither queries nor keys
    assert (y.shape, weights.shape) == ((2, 0, 4), (2, 0, 0))
    tape.backward(y, weights)


# --- blocks, dropout, contract


@pytest.mark.parametrize("heads", [1, 4])
def test_blocks_of_any_size_give_the_same(heads, rng, monkeypatch):
    layer = npnet.MultiheadAttention(4, heads, dropout=0.3, batch_first=True, dtype=np.float64)
    x, padding, attn = (
        rng.normal(size=(3, 50, 4)),
        rng.normal(size=(3, 50)),
        rng.normal(size=(50, 50)),
    )
    results = []
    for block in (10**9, 50 * 50 * heads, 1000, 1):
        monkeypatch.setattr(ops, "_BLOCK", block)
        layer.zero_grad()
        (y, w), tape = layer.record(x, key_padding_mask=padding, attn_mask=attn, rng=1)
        found = tape.backward(np.cos(y), np.sin(w), input_grad=True)
        found = [y, w, found[0], found[3], found[5], *(p.grad for p in layer.parameters())]
        results.append([a.copy() for a in found])
    for other in results[1:]:
        for a, b in zip(other, results[0], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def test_dropout_drops_weights_and_scales_the_others(rng):
    layer = npnet.MultiheadAttention(4, 2, 0.25, dtype=np.float64)
    x = rng.normal(size=(40, 3, 4))
    (_, kept), _ = layer.record(x, rng=1, average_attn_weights=False)
    _, weights = layer(x, average_attn_weights=False)
    dropped = kept == 0
    np.testing.assert_allclose(kept[~dropped], weights[~dropped] / 0.75, rtol=1e-12)
    assert 0.2 < dropped.mean() < 0.3
    (_, kept), _ = layer.record(x, training=False, average_attn_weights=False)
    np.testing.assert_array_equal(kept, weights)
    layer = npnet.MultiheadAttention(4, 2, 1.0)
    assert not layer.record(x)[0][1].any()


@pytest.mark.parametrize("options", [
    {"dropout": 0.3}, {"add_bias_kv": True, "add_zero_attn": True}, {"is_causal": True},
    {"need_weights": False, "bias": False}, {"average_attn_weights": False},
], ids=str)  # fmt: skip
def test_the_contract_is_kept(options):
    def make():
        return npnet.MultiheadAttention(4, 2, batch_first=True, **options)

    assert check_layer(make, (2, 3, 4)).ok


def test_masks_keep_the_contract(rng):
    def make():
        return npnet.TransformerEncoderLayer(4, 2, 5, 0.0, "gelu")

    padding = np.array([[False, True, False], [False, False, True]])
    x = rng.normal(size=(3, 2, 4))
    assert check_layer(make, x, rng.normal(size=(3, 3)), padding, batch_axis=None).ok


def test_either_output_may_be_left_unused(rng):
    layer = npnet.MultiheadAttention(4, 2, dtype=np.float64)
    x = rng.normal(size=(3, 2, 4))
    both = []
    for used in ((1, None), (None, 1)):
        layer.zero_grad()
        outputs, tape = layer.record(x)
        grads = [y if one else None for y, one in zip(outputs, used, strict=True)]
        both.append((tape.backward(*grads, input_grad=True), layer.in_proj_weight.grad.copy()))
    assert layer.out_proj.weight.grad is None
    layer.zero_grad()
    outputs, tape = layer.record(x)
    np.testing.assert_allclose(tape.backward(*outputs, input_grad=True), both[0][0] + both[1][0])
    np.testing.assert_allclose(layer.in_proj_weight.grad, both[0][1] + both[1][1])


def test_a_chain_with_attention_trains(rng):
    model = npnet.Sequential(
        npnet.Linear(3, 4),
        npnet.MultiheadAttention(4, 2, batch_first=True, need_weights=False),
        npnet.Linear(4, 1),
    )
    assert check_layer(model, (2, 3, 3)).ok


def test_the_layers_of_an_encoder_are_copies():
    layer = npnet.TransformerEncoderLayer(4, 2, 5)
    encoder = npnet.TransformerEncoder(layer, 2)
    assert not {*layer.parameters()} & {*encoder.parameters()}
    one, two = (each.linear1.weight.data for each in encoder.layers)
    np.testing.assert_array_equal(one, two)
    encoder.layers[0].linear1.weight.data += 1
    assert (one != two).all()


# --- positions


@pytest.mark.parametrize("batch_first", [False, True])
def test_sines_are_those_of_the_paper(batch_first):
    for length, size in ((7, 6), (4, 5), (1, 1)):
        expected = np.array([
            [(np.cos if i % 2 else np.sin)(t / 100 ** (i // 2 * 2 / size)) for i in range(size)]
            for t in range(length)
        ])  # fmt: skip
        layer = npnet.SinePositionEncoding(100, batch_first)
        x = np.ones((3, length, size) if batch_first else (length, 3, size))
        y = layer(x) if batch_first else layer(x).swapaxes(0, 1)
        np.testing.assert_allclose(y, 1 + np.stack([expected] * 3), rtol=1e-13)
        np.testing.assert_allclose(layer(np.zeros((length, size))), expected, rtol=1e-13)


def test_positions_that_do_not_occur_have_no_gradient(rng):
    for shape, axis in (((2, 3, 4), 0), ((3, 2, 4), 1), ((3, 4), None)):
        layer = npnet.PositionEmbedding(5, 4, axis == 0, dtype=np.float64)
        y, tape = layer.record(np.zeros(shape))
        table = layer.weight.data[:3]
        expected = table if axis is None else np.stack([table] * 2, axis)
        np.testing.assert_array_equal(y, expected)
        grad = rng.normal(size=shape)
        tape.backward(grad)
        total = grad if axis is None else grad.sum(axis)
        np.testing.assert_allclose(layer.weight.grad, np.pad(total, ((0, 2), (0, 0))), rtol=1e-13)


# --- mistakes

X = np.ones((3, 2, 4))


def _attention(**options):
    return npnet.MultiheadAttention(4, 2, **options)


@pytest.mark.parametrize(("call", "match"), [
    (lambda: npnet.MultiheadAttention(4, 3), "a multiple of num_heads, which is 3, got 4"),
    (lambda: npnet.MultiheadAttention(4, 2, device="cpu"), "on the CPU"),
    (lambda: npnet.MultiheadAttention(4, 2, 1.5), "dropout"),
    (lambda: _attention()(np.ones((3, 2, 5))), r"query of shape \(length, n, 4\)"),
    (lambda: _attention(batch_first=True)(np.ones(4)), r"query of shape \(n, length, 4\)"),
    (lambda: _attention()(X, np.ones((3, 5, 4)), X), r"key of shape \(length, 2, 4\), got \(3, 5"),
    (lambda: _attention()(X, X[:1], X[:2]), r"value of shape \(1, 2, 4\), got \(2, 2, 4\)"),
    (lambda: _attention()(X, X[:, 0], X[:, 0]), r"key of shape \(length, 2, 4\), got \(3, 4\)"),
    (lambda: _attention()(X[:, 0], X, X), r"key of shape \(length, 4\), got \(3, 2, 4\)"),
    (lambda: _attention(kdim=3)(X), r"key of shape \(length, 2, 3\), got \(3, 2, 4\)"),
    (lambda: _attention()(X, key_padding_mask=np.zeros((3, 2), bool)), r"\(2, 3\), got \(3, 2\)"),
    (lambda: _attention()(X, attn_mask=np.zeros((2, 2))), r"\(3, 3\) or \(4, 3, 3\)"),
    (lambda: _attention()(X, attn_mask=np.eye(3, dtype=int)), "booleans or floating"),
    (lambda: _attention()(X, need_weights=2.0), "need_weights to be True or False"),
    (lambda: _attention()(X, masks=X), "did you mean|takes"),
    (lambda: npnet.TransformerEncoderLayer(4, 3), "a multiple of nhead, which is 3"),
    (lambda: npnet.TransformerEncoderLayer(4, 2, dropout=2.0), "^T.*Layer expects dropout"),
    (lambda: npnet.TransformerEncoderLayer(4, 2, layer_norm_eps=-1), "^T.* expects layer_norm_eps"),
    (lambda: npnet.TransformerEncoderLayer(4, 2, batch_first=1), "^T.* expects batch_first"),
    (lambda: npnet.TransformerEncoderLayer(4, 2, bias=None), "^T.* expects bias to be True"),
    (lambda: npnet.TransformerEncoderLayer(4, 2, is_causal="no"), "^T.* expects is_causal to be T"),
    (lambda: npnet.TransformerEncoderLayer(4, 2, activation="tanh"), "'relu', 'gelu' or a layer"),
    (lambda: npnet.TransformerEncoderLayer(4, 2, activation=np.tanh), "npnet.Lambda"),
    (lambda: npnet.TransformerEncoder(npnet.Linear(2, 2), 2), "a TransformerEncoderLayer"),
    (lambda: npnet.TransformerEncoder(npnet.TransformerEncoderLayer(4, 2), 0), "positive integer"),
    (lambda: npnet.TransformerEncoder(npnet.TransformerEncoderLayer(4, 2), 1,
                                      enable_nested_tensor=False), "leave it out"),
    (lambda: npnet.PositionEmbedding(2, 4)(X), "up to 2"),
    (lambda: npnet.PositionEmbedding(3, 5)(X), r"5\)"),
    (lambda: npnet.SinePositionEncoding()(np.ones(3)), r"\(length, d\)"),
    (lambda: npnet.SinePositionEncoding(0), "above 0"),
])  # fmt: skip
def test_mistakes_are_named(call, match):
    with pytest.raises(npnet.NpnetError, match=match):
        call()
