"""WeightNorm: PyTorch's states, other layers, frozen parts, mistakes."""

import copy

import numpy as np
import pytest

import npnet
from npnet.errors import ArgumentError, ShapeError, SignatureError


@pytest.mark.parametrize("dim", [0, 1, None, -1, -2])
def test_the_state_is_that_of_torch(dim, rng):
    torch = pytest.importorskip("torch", reason="needs the oracle: pip install torch")
    theirs = torch.nn.Sequential(
        torch.nn.utils.parametrizations.weight_norm(torch.nn.Conv2d(4, 6, 3, groups=2), dim=dim),
        torch.nn.ReLU(),
    ).double()
    with torch.no_grad():
        for p in theirs.parameters():
            p.copy_(torch.from_numpy(rng.normal(size=p.shape)))
    conv = npnet.Conv2d(4, 6, 3, groups=2, dtype=np.float64)
    ours = npnet.Sequential(npnet.WeightNorm(conv, dim=dim), npnet.ReLU())
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict())
    x = rng.normal(size=(2, 4, 5, 6))
    expected = theirs(torch.from_numpy(x))
    expected.sum().backward()
    y, tape = ours.record(x)
    tape.backward(np.ones_like(y))
    np.testing.assert_allclose(y, expected.detach().numpy(), rtol=1e-9, atol=1e-12)
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(p.grad, q.grad.numpy(), rtol=1e-9, atol=1e-12)


def test_the_layer_itself_stays_as_it_is(rng):
    layer = npnet.Linear(3, 2, dtype=np.float64)
    before, x = layer.weight.data.copy(), rng.normal(size=(4, 3))
    wrapped = npnet.WeightNorm(layer)
    np.testing.assert_allclose(wrapped(x), layer(x), rtol=1e-14)
    wrapped.parametrizations["weight"].original0.data *= 2
    np.testing.assert_array_equal(layer.weight.data, before)
    np.testing.assert_allclose(wrapped.remove().weight.data, 2 * before)
    twin = copy.deepcopy(wrapped)
    for p in wrapped.parameters():
        p.data += 1
    np.testing.assert_allclose(twin(x), x @ (2 * before).T + layer.bias.data - 1)


def test_frozen_parts_get_no_gradient(rng):
    wrapped = npnet.WeightNorm(npnet.Linear(3, 2))
    parts = wrapped.parametrizations["weight"]
    x = rng.normal(size=(4, 3))
    for g, v in ((True, False), (False, True), (False, False)):
        parts.original0.requires_grad_(g)
        parts.original1.requires_grad_(v)
        wrapped.zero_grad()
        y, tape = wrapped.record(x)
        assert tape.backward(np.ones_like(y), input_grad=True).shape == x.shape
        assert (parts.original0.grad is not None, parts.original1.grad is not None) == (g, v)


def test_a_model_learns(rng):
    model = npnet.Sequential(npnet.WeightNorm(npnet.Linear(3, 2)), npnet.ReLU())
    optimizer = npnet.optim.SGD(model.parameters(), lr=0.1)
    x, target = rng.normal(size=(20, 3)), rng.uniform(size=(20, 2))
    values = []
    for _ in range(20):
        y, tape = model.record(x)
        value, grad = npnet.MSELoss().value_and_grad(y, target)
        tape.backward(grad)
        optimizer.step()
        optimizer.zero_grad()
        values.append(value)
    assert values[-1] < 0.9 * values[0]


def test_indices_and_other_names():
    table = npnet.WeightNorm(npnet.Embedding(5, 2))
    y, tape = table.record(np.array([[0, 4], [4, 4]]))
    assert y.shape == (2, 2, 2)
    tape.backward(np.ones_like(y))
    assert not table.parametrizations["weight"].original0.grad[1:4].any()
    assert list(npnet.WeightNorm(npnet.Linear(3, 2), "bias", None).state_dict()) == [
        "weight", "parametrizations.bias.original0", "parametrizations.bias.original1",
    ]  # fmt: skip


def test_mistakes():
    linear = npnet.Linear(3, 2)
    with pytest.raises(ArgumentError, match="name of a parameter of Linear, got 'wieght'; it has"):
        npnet.WeightNorm(linear, "wieght")
    with pytest.raises(ArgumentError, match="dim to be an integer of at least -2 up to 1, got 2"):
        npnet.WeightNorm(linear, dim=2)
    with pytest.raises(ArgumentError, match="without layers or buffers"):
        npnet.WeightNorm(npnet.BatchNorm1d(3))
    with pytest.raises(ArgumentError, match="to be a Layer"):
        npnet.WeightNorm(linear.weight)
    with pytest.raises(ShapeError, match=r"\(\.\.\., 3\), got \(4, 2\)"):
        npnet.WeightNorm(linear)(np.ones((4, 2)))
    with pytest.raises(SignatureError, match="expected the inputs"):
        npnet.WeightNorm(linear)(np.ones((4, 3)), np.ones((4, 3)))
