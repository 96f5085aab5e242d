"""Passes through containers of one's own: who is called, what is kept, None and integers."""

import collections
import threading

import numpy as np
import pytest

import npnet
from npnet.context import Context
from npnet.errors import ArgumentError, ShapeError, SignatureError, TapeError


class Body(npnet.Layer):
    """x + body(x), with the call written in different ways."""

    def __init__(self, how):
        super().__init__()
        self.body = npnet.Linear(3, 3)
        self.how = how

    def forward(self, ctx, x):
        return x + self.how(self, ctx, x)

    def backward(self, ctx, grad):
        return grad + ctx.calls.pop().backward(grad)


def direct(self, ctx, x):
    return self.body(x)


# --- children that are called in the wrong way


def test_a_child_that_is_called_directly_raises_in_a_recorded_pass():
    layer = Body(direct)
    for model in (layer, npnet.Sequential(npnet.Linear(3, 3), layer)):
        with pytest.raises(ArgumentError, match=r"Linear was called directly .*ctx\.call\(self\."):
            model.record(np.ones((2, 3)))
        model(np.ones((2, 3)))  # inference does not train
    with pytest.raises(ArgumentError, match=r"ctx\.call"):
        layer.summary((3,))
    x = np.ones((2, 3))
    with pytest.raises(ArgumentError, match=r"ctx\.call"):
        npnet.profile(layer, x, x, npnet.MSELoss())
    assert Body(lambda self, ctx, x: ctx.call(self.body, x)).record(x)[0].shape == (2, 3)


def test_a_failed_pass_does_not_forbid_later_calls():
    layer = Body(direct)
    with pytest.raises(ArgumentError):
        layer.record(np.ones((2, 3)))
    assert layer.body(np.ones((2, 3))).shape == (2, 3)


def test_a_model_that_is_not_part_of_the_pass_may_be_called():
    teacher = npnet.Sequential(npnet.Linear(3, 3))
    layer = Body(lambda self, ctx, x: ctx.call(self.body, x) + teacher(x))
    assert layer.record(np.ones((2, 3)))[0].shape == (2, 3)


def test_another_thread_may_predict_meanwhile():
    found = []

    def elsewhere(self, ctx, x):
        thread = threading.Thread(target=lambda: found.append(self.body(x)))
        thread.start()
        thread.join()
        return ctx.call(self.body, x)

    Body(elsewhere).record(np.ones((2, 3)))
    assert len(found) == 1


def test_an_unregistered_layer_is_refused():
    stray = npnet.Linear(3, 3)
    layer = Body(lambda self, ctx, x: ctx.call(stray, x))
    for run in (layer, layer.record):
        with pytest.raises(ArgumentError, match="Linear that is not registered.*LayerList"):
            run(np.ones((2, 3)))
    with pytest.raises(ArgumentError, match="expects a layer first, got function"):
        Body(lambda self, ctx, x: ctx.call(direct, x))(np.ones((2, 3)))


@pytest.mark.parametrize("call", [lambda ctx, c, x: c(x), lambda ctx, c, x: ctx.call(c, x)])
def test_layers_in_a_list_that_was_filled_later_are_refused(call):
    class Stack(npnet.Layer):
        def __init__(self):
            super().__init__()
            self.ls = []
            self.ls.append(npnet.Linear(3, 3))

        def forward(self, ctx, x):
            return call(ctx, self.ls[0], x)

    with pytest.raises(ArgumentError, match="ctx.call|LayerList"):
        Stack().record(np.ones((2, 3)))


def test_a_grandchild_may_be_called():
    class Two(npnet.Layer):
        def __init__(self):
            super().__init__()
            self.inner = npnet.Sequential(npnet.Linear(3, 2), npnet.ReLU())

        def forward(self, ctx, x):
            return ctx.call(self.inner[0], x)

        def backward(self, ctx, grad):
            return ctx.calls.pop().backward(grad)

    y, tape = Two().record(np.ones((1, 3)))
    assert tape.backward(y, input_grad=True).shape == (1, 3)


def test_an_error_names_the_layer_in_one_line():
    model = npnet.Sequential(npnet.Sequential(npnet.Linear(3, 2), Body(direct)))
    with pytest.raises(ShapeError) as caught:
        model(np.ones((2, 4)))
    first = str(caught.value)
    assert first.startswith("Linear(in_features=3, out_features=2, bias=True) (layer '0.0' of")
    assert "\n" not in first
    with pytest.raises(TapeError) as caught:
        model[0][:1].record(np.ones((2, 3)))[1].backward(1, 2)
    assert str(caught.value).startswith("Sequential: expected 1 gradient")


# --- the one hook


def test_every_child_is_run_through_the_hook():
    class Names(Context):
        __slots__ = ("seen",)
        fuses = False

        def child(self, layer):
            found = Names(layer, self.recording, self.training, self._rng)
            found.seen = self.seen
            return found

        def run(self, *inputs):
            self.seen.append(f"forward {type(self.layer).__name__}")
            return super().run(*inputs)

        def backward(self, *grads, needs_input_grad=True):
            self.seen.append(f"backward {type(self.layer).__name__}")
            return super().backward(*grads, needs_input_grad=needs_input_grad)

    model = npnet.Sequential(
        npnet.Linear(3, 3), npnet.ReLU(), Body(lambda self, ctx, x: ctx.call(self.body, x))
    )
    ctx = Names(model, True, True)
    ctx.seen = []
    y = ctx.run_as_root(np.ones((2, 3), np.float32))
    ctx.backward(y)
    there = ["Sequential", "Linear", "ReLU", "Body", "Linear"]
    back = ["Sequential", "Body", "Linear", "ReLU", "Linear"]
    assert ctx.seen == [f"forward {n}" for n in there] + [f"backward {n}" for n in back]


# --- what is kept


def test_saving_twice_is_refused():
    class Twice(npnet.Layer):
        def forward(self, ctx, x):
            ctx.save(x)
            ctx.save(x * 2)
            return x

    Twice()(np.ones(3))
    with pytest.raises(TapeError, match=r"Twice\(\): ctx.save was called twice.*save all at once"):
        Twice().record(np.ones(3))


KEEP = {
    "saved": lambda ctx, y: ctx.save(y),
    "a view": lambda ctx, y: ctx.save(y[:2]),
    "a view of a view": lambda ctx, y: ctx.save(y[:2].T[:1]),
    "in a saved list": lambda ctx, y: ctx.save([y]),
    "attribute": lambda ctx, y: setattr(ctx, "y", y),
    "attribute view": lambda ctx, y: setattr(ctx, "y", y[1:]),
    "list": lambda ctx, y: setattr(ctx, "y", [None, [y]]),
    "dictionary": lambda ctx, y: setattr(ctx, "y", {"a": (3, y)}),
    "deque": lambda ctx, y: setattr(ctx, "y", collections.deque([y])),
    "named tuple": lambda ctx, y: setattr(ctx, "y", collections.namedtuple("Kept", "y")(y)),
    "subclass": lambda ctx, y: setattr(ctx, "y", y.view(np.matrix)),
}


@pytest.mark.parametrize("keep", KEEP.values(), ids=KEEP)
@pytest.mark.parametrize("whole", [True, False])
def test_what_the_pass_keeps_is_copied_for_the_user(keep, whole):
    held = []

    class Exp(npnet.Layer):
        def forward(self, ctx, x):
            y = np.exp(x)
            keep(ctx, y)
            held.append(y)
            return y if whole else y[:2]

        def backward(self, ctx, grad):
            return grad

    for model in (Exp(), npnet.Sequential(npnet.Identity(), Exp())):
        y, _ = model.record(np.ones((4, 3)))
        y[...] = 7
        assert (held[-1] == np.exp(np.ones(1))).all()


def test_what_the_pass_does_not_keep_is_not_copied():
    made = []

    class Made(npnet.Layer):
        def forward(self, ctx, x):
            ctx.save(x)
            made.append(x + 1)
            return made[-1]

    assert Made().record(np.ones(3))[0] is made[0]


# --- None, integers and several outputs


class Recurrent(npnet.Layer):
    """y = x a + h, h' = 2 h a, where lengths says how many rows count: shaped like an LSTM."""

    takes_integers = (False, False, True)

    def __init__(self):
        super().__init__()
        self.a = npnet.Parameter(3.0, np.float64)

    def forward(self, ctx, x, h=None, lengths=None):
        ctx.seen = [None if v is None else v.dtype for v in (x, h, lengths)]
        h = np.zeros_like(x) if h is None else h
        mask = np.ones(len(x), bool) if lengths is None else np.arange(len(x)) < lengths
        ctx.save(x, h, mask[:, np.newaxis])
        return x * self.a.data * mask[:, np.newaxis] + h, 2 * h * self.a.data

    def backward(self, ctx, dy, dh):
        x, h, mask = ctx.saved
        assert dy is not None or dh is not None
        dy = np.zeros_like(x) if dy is None else dy
        dh = np.zeros_like(x) if dh is None else dh
        ctx.add_grad(self.a, np.asarray((dy * x * mask).sum() + (2 * dh * h).sum()))
        self_h = dy + 2 * dh * self.a.data if ctx.needs_grad(1) else None
        return dy * self.a.data * mask, self_h, None


def test_inputs_may_be_left_out_and_integers_stay():
    layer, x = Recurrent(), np.arange(6.0).reshape(3, 2)
    y, h = layer(x, None, np.int64(2))
    np.testing.assert_array_equal(y, [[0, 3], [6, 9], [0, 0]])
    (y, h), tape = layer.record(x.astype(np.float32), x, 2)
    assert [str(d) for d in tape._ctx.seen] == ["float64", "float64", "int64"]
    dx, dh0, dlengths = tape.backward(np.ones((3, 2)), None, input_grad=True)
    np.testing.assert_array_equal(dx, [[3, 3], [3, 3], [0, 0]])
    np.testing.assert_array_equal(dh0, np.ones((3, 2)))
    assert dlengths is None
    assert layer.a.grad == 0 + 1 + 2 + 3


def test_fewer_inputs_and_unused_outputs():
    layer, x = Recurrent(), np.ones((3, 2))
    _, tape = layer.record(x)
    assert tape.backward(None, np.ones((3, 2)), input_grad=True).shape == (3, 2)
    _, tape = layer.record(x, None, None)
    dx, dh, dl = tape.backward(np.ones((3, 2)), np.ones((3, 2)), input_grad=True)
    assert (dh, dl) == (None, None)
    _, tape = layer.record(x, x)
    dx, dh = tape.backward(np.ones((3, 2)), None, input_grad=(True, False))
    assert dh is None
    _, tape = layer.record(x, x)
    with pytest.raises(TapeError, match="expected the gradient of an output, got None"):
        tape.backward(None, None)
    with pytest.raises(TapeError, match="input_grad has 1 entries for 2 inputs"):
        tape.backward(x, None, input_grad=[True])
    with pytest.raises(ArgumentError, match="True or False"):
        tape.backward(x, None, input_grad=["yes", True])
    tape.backward(x, None)  # a refused call leaves the tape usable


def test_none_is_no_gradient_of_a_single_output():
    _, tape = npnet.Linear(2, 2).record(np.ones((1, 2)))
    with pytest.raises(TapeError, match="got None"):
        tape.backward(None)


def test_booleans_are_masks_where_the_layer_takes_them():
    class Mask(npnet.Layer):
        takes_integers = (False, True)

        def forward(self, ctx, x, mask=None):
            assert mask is None or mask.dtype == bool
            return x if mask is None else x * mask

    x = np.ones((2, 2))
    np.testing.assert_array_equal(Mask()(x, x > 0), x)
    np.testing.assert_array_equal(Mask()(x), x)


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (None, "returned None"), ((), "empty tuple"), ([np.ones(2)], "a list"),
        ((np.ones(2), (np.ones(2),)), "a tuple in a tuple"), ((np.ones(2), None), "returned None"),
        ("text", "a str"),
    ],
)  # fmt: skip
def test_outputs_are_an_array_or_a_flat_tuple(output, message):
    class Returns(npnet.Layer):
        def forward(self, ctx, x):
            return output

    for model in (Returns(), npnet.Sequential(Returns())):
        with pytest.raises(ShapeError, match=rf"Returns\(\).*{message}"):
            model.record(np.ones(2))
        with pytest.raises(ShapeError, match=message):
            model(np.ones(2))


# --- forward passes without a context


def test_forward_without_ctx_is_refused():
    with pytest.raises(SignatureError, match=r"Bad\.forward\(self, x\) lacks .*\(self, ctx, x\)"):

        class Bad(npnet.Layer):
            def forward(self, x):
                return x

    class Other(npnet.Layer):
        def forward(self, images):
            return images

    with pytest.raises(SignatureError, match=r"write forward\(self, ctx, images\)"):
        Other()(np.ones(3))


def test_a_wrong_number_of_inputs_is_named():
    with pytest.raises(SignatureError, match=r"Linear.*expected the inputs \(x\), got 2 of them"):
        npnet.Linear(2, 2)(np.ones((1, 2)), np.ones((1, 2)))

    class Raises(npnet.Layer):
        def forward(self, ctx, x):
            return x + "text"

    with pytest.raises(TypeError) as caught:  # the user's own mistake stays visible
        Raises()(3.0)
    assert not isinstance(caught.value, npnet.NpnetError)


def test_a_recorded_pass_that_was_not_unpacked_says_so():
    out = npnet.Linear(2, 2).record(np.ones((1, 2)))
    y, tape = out
    assert isinstance(out, tuple)
    with pytest.raises(AttributeError, match=r"'shape'.*y, tape = model\.record\(x\)"):
        out.shape  # noqa: B018


# --- several inputs and outputs through a chain


class Fork(npnet.Layer):
    """Two outputs of one input: 2 x and 3 x."""

    def forward(self, ctx, x):
        return 2 * x, 3 * x

    def backward(self, ctx, a, b):
        return (0 if a is None else 2 * a) + (0 if b is None else 3 * b)


class Join(npnet.Layer):
    """The product of two inputs."""

    def forward(self, ctx, a, b):
        ctx.save(a, b)
        return a * b

    def backward(self, ctx, grad):
        a, b = ctx.saved
        return grad * b, grad * a


@pytest.mark.parametrize("fuse", [True, False])
def test_chains_pass_several_arrays_on(fuse):
    x, ones = np.full((2, 3), 2.0), np.ones((2, 3))
    model = npnet.Sequential(npnet.Identity(), Fork(), fuse=fuse)
    (a, b), tape = model.record(x)
    np.testing.assert_array_equal(tape.backward(None, ones, input_grad=True), 3 * ones)
    model = npnet.Sequential(npnet.Sequential(Fork()), Join(), npnet.Identity(), fuse=fuse)
    y, tape = model.record(x)
    np.testing.assert_array_equal(y, 6 * x * x)
    np.testing.assert_array_equal(tape.backward(ones, input_grad=True), 12 * x)
    model = npnet.Sequential(Join(), npnet.Linear(3, 2, dtype=np.float64), npnet.ReLU(), fuse=fuse)
    y, tape = model.record(x, 3 * x)
    dx, dy = tape.backward(np.ones((2, 2)), input_grad=True)
    np.testing.assert_allclose(dx, 3 * dy)
    with pytest.raises(SignatureError, match="Linear.*expected the inputs"):
        npnet.Sequential(Fork(), npnet.Linear(3, 2), fuse=fuse).record(x)
    for wrong in ((), (x, x)):
        with pytest.raises(SignatureError, match="expected the inputs"):
            npnet.Sequential(npnet.Linear(3, 2), npnet.ReLU(), fuse=fuse)(*wrong)


def test_a_context_that_watches_sees_every_layer():
    seen = []

    class Watching(Context):
        __slots__ = ()

        def child(self, layer):
            seen.append(type(layer).__name__)
            return Watching(layer, self.recording, self.training, self._rng)

    model = npnet.Sequential(npnet.Linear(3, 4), npnet.ReLU(), npnet.Linear(4, 2))
    Watching(model, True, True).run(np.ones((1, 3), np.float32))
    assert seen == ["Linear", "ReLU", "Linear"]


def test_recording_a_child_inside_forward_is_refused_too():
    layer = Body(lambda self, ctx, x: self.body.record(x)[0])
    with pytest.raises(ArgumentError, match=r"ctx\.call\(self\.body, x\)"):
        layer.record(np.ones((2, 3)))


def test_a_frozen_teacher_may_be_called_directly():
    class Taught(Body):
        def __init__(self):
            super().__init__(lambda self, ctx, x: ctx.call(self.body, x) - self.teacher(x))
            self.teacher = npnet.Linear(3, 3).requires_grad_(False)

    assert Taught().record(np.ones((2, 3)))[0].shape == (2, 3)


def test_none_for_a_child_that_needs_an_array_is_named():
    layer = Body(lambda self, ctx, x: ctx.call(self.body, None))
    with pytest.raises(npnet.errors.DtypeError, match="expected an array as the input x, got None"):
        layer.record(np.ones((2, 3)))
    with pytest.raises(npnet.errors.DtypeError, match="expected an array as the input x"):
        npnet.Sequential(npnet.Linear(3, 3))(None)


def test_an_array_returned_twice_is_two_arrays():
    class Twice(npnet.Layer):
        def forward(self, ctx, x):
            y = x + 1
            return y, y

    (a, b), _ = Twice().record(np.ones(3))
    a[...] = 9
    assert (b == 2).all()


def test_names_of_torchs_context_are_answered():
    class Saves(npnet.Layer):
        def forward(self, ctx, x):
            ctx.save_for_backward(x)

    with pytest.raises(npnet.errors.NameTypoError, match=r"ctx\.save\(a, b\)"):
        Saves().record(np.ones(3))


def test_backward_without_ctx_is_refused():
    with pytest.raises(SignatureError, match=r"write backward\(self, ctx, grad\)"):

        class Bad(npnet.Layer):
            def backward(self, grad):
                return grad

    class Other(npnet.Layer):
        def forward(self, ctx, x):
            return x

        def backward(self, upstream):
            return upstream

    with pytest.raises(SignatureError, match="must take the context and one gradient"):
        Other().record(np.ones(3))[1].backward(np.ones(3))
