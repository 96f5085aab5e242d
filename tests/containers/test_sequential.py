import numpy as np
import pytest

import npnet
from npnet.errors import ArgumentError, ShapeError


def chain():
    return npnet.Sequential(npnet.Linear(2, 3), npnet.ReLU(), npnet.Linear(3, 1))


def test_index_slice_append_iterate():
    model = chain()
    assert len(model) == 3
    assert isinstance(model[1], npnet.ReLU)
    assert model[-1] is model[2]
    head = model[:2]
    assert isinstance(head, npnet.Sequential)
    assert head[0] is model[0]
    assert [type(f).__name__ for f in model] == ["Linear", "ReLU", "Linear"]
    assert model.append(npnet.Tanh()) is model
    assert list(dict(model.named_layers())) == ["", "0", "1", "2", "3"]
    tail = model[2:].append(npnet.ReLU())
    assert len(tail) == 3
    with pytest.raises(IndexError):
        model[7]


def test_named():
    model = npnet.Sequential({"hidden": npnet.Linear(2, 3), "out": npnet.Linear(3, 1)})
    assert model.hidden.out_features == 3
    assert list(model.state_dict()) == ["hidden.weight", "hidden.bias", "out.weight", "out.bias"]


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ((npnet.ReLU,), "parentheses"),
        (([npnet.ReLU()],), r"unpack it with \*"),
        ((np.tanh,), "expects .* to be a Layer"),
        (({"a.b": npnet.ReLU()},), "cannot name"),
        (({"forward": npnet.ReLU()},), "cannot name"),
    ],
)
def test_other_things_are_refused(layers, message):
    with pytest.raises(ArgumentError, match=message):
        npnet.Sequential(*layers)


def test_empty_chain_is_the_identity():
    y, tape = npnet.Sequential().record([1.0, 2.0])
    assert y.tolist() == [1, 2]
    assert tape.backward([3.0, 4.0], input_grad=True).tolist() == [3, 4]


def test_the_first_learning_layer_skips_its_input_gradient():
    asked = []

    class Spy(npnet.Linear):
        def backward(self, ctx, grad):
            asked.append(ctx.needs_input_grad)
            return super().backward(ctx, grad)

    class Never(npnet.Flatten):
        def backward(self, ctx, grad):
            asked.append("never")
            return super().backward(ctx, grad)

    model = npnet.Sequential(Never(), npnet.Sequential(Spy(2, 2), npnet.ReLU()), Spy(2, 2))
    _, tape = model.record(np.ones((1, 2)))
    tape.backward(np.ones((1, 2)))
    assert asked == [True, False]
    asked.clear()
    _, tape = model.record(np.ones((1, 2)))
    tape.backward(np.ones((1, 2)), input_grad=True)
    assert asked == [True, True, "never"]


def test_backward_frees_what_forward_kept(rng):
    model = chain().append(npnet.Tanh())
    _, tape = model.record(rng.normal(size=(4, 2)))
    ctx = tape._ctx
    assert ctx.calls
    tape.backward(np.ones((4, 1)))
    assert ctx.calls == []


class Residual(npnet.Layer):
    """y = x + f(x): a branch, with a child that saves its output."""

    def __init__(self, body):
        super().__init__()
        self.body = body

    def forward(self, ctx, x):
        return x + ctx.call(self.body, x)

    def backward(self, ctx, grad):
        return grad + ctx.calls[0].backward(grad)


def test_a_graph_of_nested_chains(rng):
    block = npnet.Sequential(npnet.Linear(3, 3), npnet.Sigmoid())
    model = npnet.Sequential(
        Residual(block), Residual(npnet.Sequential(Residual(block), npnet.ReLU())), npnet.Tanh()
    ).astype(np.float64)
    x, upstream = rng.normal(size=(5, 3)), rng.normal(size=(5, 3))
    y, tape = model.record(x)
    dx = tape.backward(upstream, input_grad=True)
    direction = rng.normal(size=x.shape) * 1e-6
    change = ((model(x + direction) - model(x - direction)) * upstream).sum() / 2
    assert change == pytest.approx((dx * direction).sum(), rel=1e-6)
    weight = block[0].weight
    step = rng.normal(size=weight.shape) * 1e-6
    weight.data += step
    high = (model(x) * upstream).sum()
    weight.data -= 2 * step
    low = (model(x) * upstream).sum()
    assert (high - low) / 2 == pytest.approx((weight.grad * step).sum(), rel=1e-6)


def test_a_child_that_returns_no_gradient_is_named():
    class Lost(npnet.Layer):
        def forward(self, ctx, x):
            return x * 1

        def backward(self, ctx, grad):
            return 1.0

    _, tape = npnet.Sequential(npnet.Linear(2, 3), Lost()).record(np.ones((1, 2)))
    with pytest.raises(
        ShapeError, match="Lost.*backward must return its input's gradient, it gave float"
    ):
        tape.backward(np.ones((1, 3)))
