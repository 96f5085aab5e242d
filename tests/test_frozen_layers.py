"""What is frozen costs no product and no memory, and stays what it is; beside PyTorch."""

import numpy as np
import pytest

import npnet
from npnet.errors import ArgumentError

KINDS = {
    "chain": lambda layers: npnet.Sequential(*layers),
    "layer by layer": lambda layers: npnet.Sequential(*layers, fuse=False),
    "nested": lambda layers: npnet.Sequential(npnet.Sequential(*layers[:3]), *layers[3:]),
}


def make(kind):
    npnet.manual_seed(0)
    layers = [
        npnet.Linear(3, 5), npnet.ReLU(), npnet.Linear(5, 4), npnet.ReLU(), npnet.Linear(4, 2),
    ]  # fmt: skip
    return KINDS[kind](layers).astype(np.float64), layers[::2]


PATTERNS = [(0,), (1,), (2,), (0, 1), (1, 2), (0, 2), (0, 1, 2)]


@pytest.mark.parametrize("frozen", PATTERNS)
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_of_the_others_are_those_of_torch(kind, frozen, rng):
    torch = pytest.importorskip("torch")
    model, linears = make(kind)
    theirs = [torch.nn.Linear(*reversed(layer.weight.shape)).double() for layer in linears]
    for i, (ours, other) in enumerate(zip(linears, theirs, strict=True)):
        other.load_state_dict({k: torch.from_numpy(v) for k, v in ours.state_dict().items()})
        ours.requires_grad_(i not in frozen)
        other.requires_grad_(i not in frozen)
    x, upstream = rng.normal(size=(6, 3)), rng.normal(size=(6, 2))
    for input_grad in (False, True):
        model.zero_grad()
        tx = torch.from_numpy(x).requires_grad_(input_grad)
        hidden = theirs[1](theirs[0](tx).relu()).relu()
        out = theirs[2](hidden)
        for layer in theirs:
            layer.zero_grad()
        if out.requires_grad:
            out.backward(torch.from_numpy(upstream))
        y, tape = model.record(x)
        dx = tape.backward(upstream, input_grad=input_grad)
        np.testing.assert_allclose(y, out.detach().numpy(), rtol=1e-12)
        if input_grad:
            np.testing.assert_allclose(dx, tx.grad.numpy(), rtol=1e-11)
        for ours, other in zip(linears, theirs, strict=True):
            for name in ("weight", "bias"):
                mine, right = getattr(ours, name).grad, getattr(other, name).grad
                assert (mine is None) == (right is None)
                if right is not None:
                    np.testing.assert_allclose(mine, right.numpy(), rtol=1e-11, atol=1e-14)


def test_nothing_is_kept_for_a_frozen_layer(rng):
    x = rng.normal(size=(4, 3))
    for fuse in (True, False):
        model = npnet.Sequential(npnet.Linear(3, 5), npnet.Linear(5, 2), fuse=fuse)
        model[0].requires_grad_(False)
        _, tape = model.record(x)
        kept = [a for call in tape._ctx.calls for a in call.saved if isinstance(a, np.ndarray)]
        assert [a.shape for a in kept] == [(4, 5)]


def test_no_product_is_computed_for_a_frozen_parameter():
    class Never:
        shape = (2, 2)

        def dot(self, *args):
            raise AssertionError("computed")

        __matmul__ = dot

    p = npnet.Parameter(np.ones((2, 2))).requires_grad_(False)
    p.add_product(Never(), Never())
    p.add_grad(np.ones((2, 2)))
    assert p.grad is None
    p.requires_grad_(True)
    with pytest.raises(AssertionError, match="computed"):
        p.add_product(Never(), Never())


def test_the_backward_pass_ends_before_frozen_layers():
    asked = []

    class Spy(npnet.Tanh):
        def backward(self, ctx, grad):
            asked.append(1)
            return super().backward(ctx, grad)

    model = npnet.Sequential(npnet.Linear(2, 2), Spy(), npnet.Linear(2, 2))
    model[0].requires_grad_(False)
    y, tape = model.record(np.ones((1, 2)))
    tape.backward(y)
    assert asked == []
    y, tape = model.record(np.ones((1, 2)))
    tape.backward(y, input_grad=True)
    assert asked == [1]


def test_freezing_between_two_passes_stops_the_second_one():
    layer = npnet.Linear(2, 2)
    y, tape = layer.record(np.ones((1, 2)))
    layer.requires_grad_(False)
    tape.backward(y)
    assert layer.weight.grad is None


def test_thawing_between_forward_and_backward_is_an_error_and_no_wrong_gradient():
    for model in (npnet.Linear(2, 2), npnet.Sequential(npnet.Linear(2, 2))):
        model.requires_grad_(False)
        y, tape = model.record(np.ones((1, 2)))
        model.requires_grad_(True)
        with pytest.raises(ArgumentError, match="Linear.*frozen when the pass was recorded"):
            tape.backward(y)
