"""What is registered by assignment, and what is refused because nobody would find it."""

import copy

import numpy as np
import pytest

import npnet
from npnet.errors import ArgumentError


class Holder(npnet.Layer):
    def __init__(self, **attributes):
        super().__init__()
        for name, value in attributes.items():
            setattr(self, name, value)


@pytest.mark.parametrize(
    "hide",
    [
        lambda x: [x], lambda x: (x,), lambda x: {"a": x}, lambda x: [[x]], lambda x: ({"a": [x]},),
        lambda x: [1, 2, (3, [x])], lambda x: {x},
    ],
)  # fmt: skip
@pytest.mark.parametrize("make", [lambda: npnet.Linear(2, 2), lambda: npnet.Parameter([1.0])])
def test_layers_in_lists_are_refused_at_any_depth(hide, make):
    with pytest.raises(ArgumentError, match=r"Holder\.parts: .*npnet\.LayerList"):
        Holder(parts=hide(make()))


def test_a_list_that_holds_itself_is_no_trap():
    loop = [1]
    loop.append(loop)
    assert Holder(parts=loop).parts is loop


def test_a_list_that_was_filled_later_is_seen_by_the_optimizer():
    layer = Holder(parts=[], linear=npnet.Linear(2, 2))
    layer.parts.append(npnet.Linear(2, 2))
    with pytest.raises(ArgumentError, match=r"Holder\.parts: .*npnet\.LayerList"):
        npnet.optim.SGD(npnet.Sequential(layer).parameters())
    with pytest.raises(ArgumentError, match=r"Holder\.parts"):
        layer.requires_grad_(False)


def test_a_layer_is_no_part_of_itself():
    model = npnet.Sequential(npnet.ReLU())
    inner = npnet.Sequential(model)
    for outer, part in ((model, model), (model, inner)):
        with pytest.raises(ArgumentError, match="cannot be a part of itself"):
            outer.append(part)
        assert len(model) == 1
    inner.append(model)  # twice the same child is fine
    assert len(list(inner.named_layers())) == 5


def test_shallow_copies_have_registries_of_their_own():
    layer = npnet.Sequential(npnet.Linear(2, 2))
    layer(np.ones((1, 2)))
    twin = copy.copy(layer)
    twin.append(npnet.ReLU())
    assert len(layer) == 1
    assert len(twin) == 2
    assert (twin(np.ones((1, 2))) >= 0).all()


def test_containing_follows_changes():
    model = npnet.Sequential(npnet.Sequential(npnet.ReLU()))
    new = npnet.Tanh()
    assert not model.contains(new)
    model[0].append(new)
    assert model.contains(new)
    del model[0][1]
    assert not model.contains(new)
    named = npnet.Sequential({"last": new})
    assert named.contains(new)
    named.last = None
    assert not named.contains(new)
    twin = copy.deepcopy(model)
    assert twin.contains(twin[0])
    assert not twin.contains(model[0])


def test_frozen_parameters_by_name_and_by_layer():
    model = npnet.Sequential(npnet.Linear(2, 3), npnet.Linear(3, 1))
    assert model.trainable
    model[0].requires_grad_(False)
    model[1].bias.requires_grad = False  # PyTorch's way
    assert [p.requires_grad for p in model.parameters()] == [False, False, True, False]
    assert not model[0].trainable
    assert "requires_grad=False" in repr(model[1].bias)
    twin = copy.deepcopy(model)
    assert [p.requires_grad for p in twin.parameters()] == [False, False, True, False]
    with pytest.raises(ArgumentError, match="True or False"):
        model.requires_grad_("no")
    with pytest.raises(ArgumentError, match="frozen"):
        model[0].bias.grad = np.ones(3)
    model[1].weight.grad = np.ones((1, 3))
    model.requires_grad_(False)
    assert model[1].weight.grad is None
    assert not model.trainable


@pytest.mark.parametrize("wrong", [["a", "b"], [None, 1], [[1], [1, 2]], object()])
def test_buffers_hold_numbers(wrong):
    with pytest.raises(npnet.NpnetError, match="buffer"):
        npnet.Buffer(wrong)
    layer = Holder(mean=npnet.Buffer([1, 2]), spectrum=npnet.Buffer(np.ones(2, complex)))
    assert layer.mean.dtype.kind == "i"
    with pytest.raises(npnet.NpnetError, match="buffer"):
        layer.mean = np.array(wrong, object)
    layer.mean = np.array([True, False])
    assert layer.state_dict()["mean"].dtype == bool


@pytest.mark.parametrize("wrong", [3, None, np.ones(2), b"a"])
def test_a_prefix_is_text(wrong):
    with pytest.raises(ArgumentError, match="^named_layers expects prefix to be text"):
        list(npnet.Sequential(npnet.ReLU()).named_layers(wrong))
    with pytest.raises(npnet.errors.DtypeError, match="^Parameter expects dtype"):
        npnet.Parameter([1.0]).astype(wrong)
