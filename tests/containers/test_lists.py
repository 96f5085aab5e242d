"""LayerList and LayerDict, beside PyTorch's ModuleList and ModuleDict."""

import numpy as np
import pytest

import npnet
from npnet.errors import ArgumentError


class Heads(npnet.Layer):
    def __init__(self):
        super().__init__()
        self.blocks = npnet.LayerList([npnet.Linear(3, 3), npnet.Linear(3, 3)])
        self.heads = npnet.LayerDict({"a": npnet.Linear(3, 1), "b": npnet.Linear(3, 2)})

    def forward(self, ctx, x):
        for block in self.blocks:
            x = ctx.call(block, x)
        return ctx.call(self.heads["a"], x), ctx.call(self.heads["b"], x)

    def backward(self, ctx, a, b):
        *blocks, head_a, head_b = ctx.calls
        grad = head_a.backward(a) + head_b.backward(b)
        for call in reversed(blocks):
            grad = call.backward(grad)
        return grad


def test_keys_are_those_of_torch():
    torch = pytest.importorskip("torch")

    class Theirs(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.blocks = torch.nn.ModuleList([torch.nn.Linear(3, 3), torch.nn.Linear(3, 3)])
            heads = {"a": torch.nn.Linear(3, 1), "b": torch.nn.Linear(3, 2)}
            self.heads = torch.nn.ModuleDict(heads)

    assert list(Heads().state_dict()) == list(Theirs().state_dict())
    Heads().load_state_dict(Theirs().state_dict())


def test_what_they_hold_trains():
    model = Heads()
    before = model.state_dict()
    optimizer = npnet.optim.SGD(model.parameters(), lr=0.1)
    (a, b), tape = model.record(np.ones((4, 3)))
    tape.backward(np.ones_like(a), np.ones_like(b))
    optimizer.step()
    assert all((before[k] != v).any() for k, v in model.state_dict().items())
    rows = model.summary((3,)).rows
    assert [row.name for row in rows] == ["blocks.0", "blocks.1", "heads.a", "heads.b"]
    assert sum(row.parameters for row in rows) == model.summary((3,)).total


def test_lists_are_lists():
    a, b, c = npnet.ReLU(), npnet.Tanh(), npnet.Sigmoid()
    layers = npnet.LayerList([a]).append(b).extend([c])
    assert list(layers) == [a, b, c]
    assert len(layers) == 3
    assert layers[-1] is c
    assert b in layers
    assert list(layers[1:]) == [b, c]
    layers[0] = c
    assert layers[0] is c
    del layers[1]
    assert [name for name, _ in layers.named_layers()] == ["", "0", "1"]
    with pytest.raises(IndexError, match="2 layers, and no number 2"):
        layers[2]
    with pytest.raises(ArgumentError, match="index to be an integer"):
        layers["a"]


def test_dictionaries_are_dictionaries():
    layers = npnet.LayerDict({"a": npnet.ReLU()})
    layers["b"] = npnet.Tanh()
    assert list(layers) == list(layers.keys()) == ["a", "b"]
    assert [type(layer).__name__ for layer in layers.values()] == ["ReLU", "Tanh"]
    assert "b" in layers
    assert len(layers) == 2
    del layers["a"]
    assert [name for name, _ in layers.items()] == ["b"]
    for wrong in ("a.b", "", 3, "forward"):
        with pytest.raises(ArgumentError, match="cannot name"):
            layers[wrong] = npnet.ReLU()
    with pytest.raises(KeyError, match="has no layer 'a'; it has b"):
        layers["a"]


@pytest.mark.parametrize("wrong", [npnet.ReLU, 3, None, [npnet.ReLU()], np.tanh])
def test_other_things_are_refused(wrong):
    with pytest.raises(ArgumentError, match="to be a Layer"):
        npnet.LayerList([wrong])
    with pytest.raises(ArgumentError, match="to be a Layer"):
        npnet.LayerDict({"a": wrong})
    with pytest.raises(ArgumentError, match="layers"):
        npnet.LayerList(3)
    with pytest.raises(ArgumentError, match="layers"):
        npnet.LayerDict([npnet.ReLU()])


@pytest.mark.parametrize("holder", [npnet.LayerList([npnet.ReLU()]), npnet.LayerDict()])
def test_they_compute_nothing(holder):
    with pytest.raises(ArgumentError, match=r"computes nothing.*ctx\.call"):
        holder(np.ones(3))


def test_names_that_are_none():
    layers = npnet.LayerDict({"a": npnet.ReLU()})
    array = np.zeros((300, 300))
    assert [] not in layers
    assert 3 not in layers
    with pytest.raises(KeyError, match="no layer"):
        layers[[[]]]
    for wrong in [], (array, array), array, 3:
        with pytest.raises(ArgumentError, match="cannot name a layer") as caught:
            layers[wrong] = npnet.ReLU()
        assert len(str(caught.value)) < 300
        assert "\n" not in str(caught.value)


class Broken:
    def __iter__(self):
        raise ZeroDivisionError("broken")


class Lengthless(list):
    def __len__(self):
        raise ZeroDivisionError("broken")


def failing():
    yield npnet.ReLU()
    raise ZeroDivisionError("broken")


@pytest.mark.parametrize("make", [Broken, Lengthless, failing])
def test_what_cannot_be_read_to_its_end_adds_nothing(make):
    layers = npnet.LayerList()
    with pytest.raises(
        ArgumentError, match="reading it raised ZeroDivisionError: broken"
    ) as caught:
        layers.extend(make())
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert len(layers) == 0
    with pytest.raises(ArgumentError, match="^SGD expects params .* reading it raised ZeroDiv"):
        npnet.optim.SGD(make(), lr=0.1)
    with pytest.raises(ArgumentError, match="^Linear expects"):
        layers.extend(npnet.Linear(0, n) for n in range(3))
