"""Linear and ReLU run as one inside a chain; it must not show."""

import copy

import numpy as np
import pytest

import npnet
from npnet.containers.fused import LinearRun
from npnet.context import Context
from npnet.errors import ShapeError


def run(model, x, grad):
    y, tape = model.record(x)
    dx = tape.backward(grad, input_grad=True)
    grads = [p.grad.copy() for p in model.parameters()]
    model.zero_grad()
    return y, dx, *grads


def parts(chain):
    """What the chain runs: layers, or runs in place of some."""
    return [type(part) for part in chain._parts(Context(chain, False, False))]


class Apart(npnet.Layer):
    """The same layers, one after the other."""

    def __init__(self, chain):
        super().__init__()
        self.chain = chain

    def forward(self, ctx, x):
        for layer in self.chain:
            x = ctx.call(layer, x)
        return x

    def backward(self, ctx, grad):
        for call in reversed(ctx.calls):
            grad = call.backward(grad)
        return grad


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(7, 4), (4,), (2, 3, 4), (0, 4), (1, 4), (7000, 4)])
def test_it_computes_what_the_two_layers_compute(shape, dtype, bias, rng):
    chain = npnet.Sequential(
        npnet.Linear(4, 5, bias=bias, dtype=dtype), npnet.ReLU(),
        npnet.Linear(5, 5, bias=bias, dtype=dtype),
        npnet.Linear(5, 9, bias=bias, dtype=dtype), npnet.ReLU(),
        npnet.Linear(9, 3, bias=bias, dtype=dtype), npnet.ReLU(),
    )  # fmt: skip
    assert parts(chain) == [LinearRun]
    x = rng.normal(size=shape)
    grad = rng.normal(size=(*shape[:-1], 3)).astype(dtype)
    for one, two in zip(run(chain, x, grad), run(Apart(chain), x, grad), strict=True):
        assert one.dtype == two.dtype == dtype
        np.testing.assert_array_equal(one, two)


def test_special_values_pass_as_through_the_two_layers():
    chain = npnet.Sequential(npnet.Linear(1, 1), npnet.ReLU())
    chain[0].weight.data, chain[0].bias.data = [[1.0]], [0.0]
    x = np.array([[np.nan], [np.inf], [-np.inf], [0.0], [-1e-38], [1e-38]], np.float32)
    expected = [[np.nan], [np.inf], [0.0], [0.0], [0.0], [1e-38]]
    np.testing.assert_array_equal(chain(x), np.array(expected, np.float32))


def test_the_parts_stay_visible():
    chain = npnet.Sequential(npnet.Linear(4, 5), npnet.ReLU(), npnet.Linear(5, 3))
    assert [row.kind for row in chain.summary((4,)).rows] == ["Linear", "ReLU", "Linear"]
    assert list(chain.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    with pytest.raises(ShapeError, match=r"Linear.*'0'|'0'.*Linear|0 \(Linear"):
        chain(np.ones((2, 3)))


def test_changes_of_the_chain_count(rng):
    x = rng.normal(size=(6, 4))
    chain = npnet.Sequential({"a": npnet.Linear(4, 4), "b": npnet.ReLU(), "c": npnet.Linear(4, 2)})
    chain.b = npnet.Tanh()
    np.testing.assert_array_equal(chain(x), chain.c(np.tanh(chain.a(x))))
    chain.b = npnet.ReLU()
    assert parts(chain) == [LinearRun]
    del chain.b
    np.testing.assert_array_equal(chain(x), chain.c(chain.a(x)))
    chain.append(npnet.ReLU())
    assert (chain(x) >= 0).all()
    chain.c.bias = None
    np.testing.assert_array_equal(chain(x), np.maximum(chain.c(chain.a(x)), 0))


def test_a_copy_computes_with_its_own_parameters(rng):
    chain = npnet.Sequential(npnet.Linear(4, 5), npnet.ReLU())
    twin = copy.deepcopy(chain)
    twin[0].weight.data = np.zeros((5, 4))
    x = rng.normal(size=(6, 4))
    np.testing.assert_array_equal(twin(x), np.maximum(np.tile(twin[0].bias.data, (6, 1)), 0))
    assert not np.array_equal(chain(x), twin(x))


def test_subclasses_run_as_they_are():
    class Doubled(npnet.ReLU):
        def forward(self, ctx, x):
            return 2 * super().forward(ctx, x)

    chain = npnet.Sequential(npnet.Linear(2, 2), Doubled())
    plain = npnet.Sequential(chain[0], npnet.ReLU())
    x = np.ones((3, 2))
    np.testing.assert_array_equal(chain(x), 2 * plain(x))


def test_a_subclass_finds_a_call_for_each_layer(rng):
    class Backward(npnet.Sequential):
        def backward(self, ctx, grad):
            assert [type(call.layer).__name__ for call in ctx.calls] == ["Linear", "ReLU"]
            for call in reversed(ctx.calls):
                grad = call.backward(grad)
            return grad

    class Forward(npnet.Sequential):
        def forward(self, ctx, x):
            for layer in self:
                x = ctx.call(layer, x)
            return x

    class Twice(npnet.Sequential):
        def forward(self, ctx, x):
            return super().forward(ctx, super().forward(ctx, x))

    half = npnet.Linear(4, 4), npnet.ReLU()
    square = rng.normal(size=(6, 4))
    expected = run(npnet.Sequential(*half, *half), square, square)
    for one, two in zip(run(Twice(*half), square, square), expected, strict=True):
        np.testing.assert_array_equal(one, two)

    layers = npnet.Linear(4, 5), npnet.ReLU()
    x, grad = rng.normal(size=(6, 4)), rng.normal(size=(6, 5))
    expected = run(npnet.Sequential(*layers), x, grad)
    for kind in (Backward, Forward):
        for one, two in zip(run(kind(*layers), x, grad), expected, strict=True):
            np.testing.assert_array_equal(one, two)


def test_a_gradient_of_a_wrong_shape_is_refused_by_the_last_linear_layer():
    class Wrong(npnet.Layer):
        def forward(self, ctx, x):
            return x

        def backward(self, ctx, grad):
            return grad[:1]

    chain = npnet.Sequential(npnet.Linear(4, 5), npnet.ReLU(), npnet.Linear(5, 3), Wrong())
    _, tape = chain.record(np.ones((2, 4)))
    with pytest.raises(
        ShapeError, match=r"Linear.*expected gradient of shape \(2, 3\), got \(1, 3\)"
    ):
        tape.backward(np.ones((2, 3)))


def test_layers_of_two_dtypes_compute_in_their_own(rng):
    chain = npnet.Sequential(
        npnet.Linear(4, 5), npnet.ReLU(),
        npnet.Linear(5, 5, dtype=np.float64), npnet.ReLU(), npnet.Linear(5, 2),
    )  # fmt: skip
    x, grad = rng.normal(size=(6, 4)).astype(np.float32), rng.normal(size=(6, 2))
    for one, two in zip(run(chain, x, grad), run(Apart(chain), x, grad), strict=True):
        assert one.dtype == two.dtype
        np.testing.assert_allclose(one, two, rtol=1e-6)


def test_only_gradients_that_nobody_holds_are_written_to(rng):
    kept = []

    class Keeps(npnet.Layer):
        """Identity that holds on to the gradients that pass."""

        def forward(self, ctx, x):
            return x

        def backward(self, ctx, grad):
            kept.append(grad)
            return grad

    chain = npnet.Sequential(
        npnet.Linear(3, 3), npnet.ReLU(), Keeps(), npnet.Linear(3, 3), npnet.ReLU(),
        npnet.Sequential(npnet.Linear(3, 3), npnet.ReLU(), npnet.Linear(3, 3), npnet.ReLU()),
    )  # fmt: skip
    x, upstream = rng.normal(size=(2, 8, 3)).astype(np.float32)
    _, tape = chain.record(x)
    before = upstream.copy()
    tape.backward(upstream)
    np.testing.assert_array_equal(upstream, before)
    _, tape = Apart(npnet.Sequential(*chain[3:])).record(npnet.Sequential(*chain[:3])(x))
    np.testing.assert_array_equal(kept[0], tape.backward(upstream, input_grad=True))


# --- fusion does not show


def doubled(self, ctx, x):
    return 2 * np.maximum(x, 0)


@pytest.mark.parametrize("where", ["instance", "class"])
def test_a_replaced_forward_pass_is_seen(where, monkeypatch):
    chain = npnet.Sequential(npnet.Linear(2, 3), npnet.ReLU(), npnet.Linear(3, 2))
    x = np.ones((4, 2), np.float32)
    hidden = chain[:2](x)
    before = chain(x)  # works out what to run
    if where == "class":
        monkeypatch.setattr(npnet.ReLU, "forward", doubled)
    else:
        monkeypatch.setattr(chain[1], "forward", lambda ctx, x: doubled(None, ctx, x))
    np.testing.assert_allclose(chain(x), chain[2](2 * hidden), rtol=1e-6)
    np.testing.assert_allclose(chain.record(x)[0], chain[2](2 * hidden), rtol=1e-6)
    monkeypatch.undo()
    np.testing.assert_array_equal(chain(x), before)


@pytest.mark.parametrize("where", ["instance", "class"])
def test_a_replaced_backward_pass_is_seen(where, monkeypatch):
    chain = npnet.Sequential(npnet.Linear(2, 3), npnet.ReLU())
    chain(np.ones((4, 2)))
    calls = []
    original = npnet.ReLU.backward
    if where == "class":
        monkeypatch.setattr(
            npnet.ReLU, "backward", lambda self, c, g: calls.append(1) or original(self, c, g)
        )
    else:
        layer = chain[1]
        monkeypatch.setattr(
            layer, "backward", lambda c, g: calls.append(1) or original(layer, c, g)
        )
    y, tape = chain.record(np.ones((4, 2)))
    tape.backward(y)
    assert calls == [1]


def test_a_subclass_that_wraps_forward_still_runs_as_one(rng):
    class Scaled(npnet.Sequential):
        def forward(self, ctx, x):
            return super().forward(ctx, 2 * x)

        def backward(self, ctx, grad):
            return 2 * super().backward(ctx, grad)

    class Logged(npnet.Sequential):
        def forward(self, ctx, x):
            return super().forward(ctx, x)

    layers = npnet.Linear(4, 5), npnet.ReLU()
    assert parts(Logged(*layers)) == [LinearRun]
    x, grad = rng.normal(size=(6, 4)).astype(np.float32), rng.normal(size=(6, 5))
    for one, two in zip(
        run(Logged(*layers), x, grad), run(npnet.Sequential(*layers), x, grad), strict=True
    ):
        np.testing.assert_array_equal(one, two)
    expected = run(npnet.Sequential(*layers), 2 * x, grad)
    got = run(Scaled(*layers), x, grad)
    np.testing.assert_array_equal(got[0], expected[0])
    np.testing.assert_allclose(got[1], 2 * expected[1], rtol=1e-6)


def test_fusion_can_be_switched_off(rng):
    layers = npnet.Linear(4, 5), npnet.ReLU(), npnet.Linear(5, 2)
    apart, whole = npnet.Sequential(*layers, fuse=False), npnet.Sequential(*layers)
    assert parts(apart) == [npnet.Linear, npnet.ReLU, npnet.Linear]
    assert parts(whole) == [LinearRun]
    x, grad = rng.normal(size=(6, 4)), rng.normal(size=(6, 2)).astype(np.float32)
    for one, two in zip(run(apart, x, grad), run(whole, x, grad), strict=True):
        np.testing.assert_array_equal(one, two)
    assert parts(copy.deepcopy(apart)) == parts(apart[:]) == parts(apart)
    whole.fuse = False
    assert parts(whole) == parts(apart)
    with pytest.raises(npnet.errors.ArgumentError, match="fuse to be True or False"):
        npnet.Sequential(fuse="no")


def test_nobody_reports_the_run():
    chain = npnet.Sequential(npnet.Linear(4, 5), npnet.ReLU(), npnet.Linear(5, 3))
    x, y = np.ones((2, 4)), np.array([0, 1])
    seen = [
        repr(chain), str(chain.summary((4,))),
        str(npnet.profile(chain, x, y, npnet.CrossEntropyLoss(), rounds=1)),
        repr([name for name, _ in chain.named_layers()]), repr(chain.get_config()),
    ]  # fmt: skip
    for wrong in (lambda: chain(np.ones((2, 3))), lambda: chain.record(x)[1].backward(x, x)):
        with pytest.raises(npnet.NpnetError) as caught:
            wrong()
        seen.append(str(caught.value))
    chain[0].weight = npnet.Parameter(np.ones((5, 4)))
    _, tape = chain.record(x)
    chain[0].weight = npnet.Parameter(np.ones((4, 4)))
    with pytest.raises(npnet.NpnetError, match=r"Linear\(in_features=4.*\(layer '0'") as caught:
        tape.backward(np.ones((2, 3)))
    seen.append(str(caught.value))
    assert not any("LinearRun" in text for text in seen)


def test_the_gradient_of_a_rectified_layer_needs_no_memory_of_its_own():
    """The reason for running layers as one: a gradient is written over its activation."""
    import gc
    import tracemalloc

    rows, width = 4096, 64
    x = np.ones((rows, 8), np.float32)

    def peak(fuse):
        model = npnet.Sequential(
            npnet.Linear(8, width), npnet.ReLU(), npnet.Linear(width, width), npnet.ReLU(),
            npnet.Linear(width, width), npnet.ReLU(), npnet.Linear(width, 1), fuse=fuse,
        )  # fmt: skip
        grad = np.ones((rows, 1), np.float32)
        model.record(x)[1].backward(grad)  # gradients and constants are there
        gc.collect()
        tracemalloc.start()
        try:
            y, tape = model.record(x)
            tape.backward(grad)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    activation = rows * width * 4
    together = peak(True)
    assert 3 * activation < together < 4.2 * activation  # three activations and blocks of rows
    assert peak(False) > 4.9 * activation


@pytest.mark.parametrize("how", ["instance", "patched class", "class attribute"])
def test_a_backward_pass_of_ones_own_finds_a_call_for_each_layer(how, monkeypatch):
    seen = []

    def backward(self, ctx, grad):
        seen.append([type(call.layer).__name__ for call in ctx.calls])
        while ctx.calls:
            grad = ctx.calls.pop().backward(grad)
        return grad

    class Own(npnet.Sequential):
        pass

    chain = Own(npnet.Linear(4, 5), npnet.ReLU(), npnet.Linear(5, 3))
    x = np.ones((2, 4), np.float32)
    chain(x)  # the plan is made
    if how == "instance":
        chain.backward = lambda ctx, grad: backward(chain, ctx, grad)
    else:
        monkeypatch.setattr(Own if how == "class attribute" else npnet.Sequential, "backward",
                            backward)  # fmt: skip
    y, tape = chain.record(x)
    tape.backward(y)
    assert seen == [["Linear", "ReLU", "Linear"]]
