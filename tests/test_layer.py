"""Registration, state, tapes and errors of layers; what the table cannot show."""

import copy
import pickle

import numpy as np
import pytest

import npnet
from npnet.errors import (
    ArgumentError,
    DtypeError,
    NameTypoError,
    ShapeError,
    SignatureError,
    StateError,
    TapeError,
)


class Counter(npnet.Layer):
    """A layer with a parameter, a buffer and a plain attribute."""

    def __init__(self):
        super().__init__()
        self.scale = npnet.Parameter([2.0, 3.0])
        self.seen = npnet.Buffer(np.zeros((), np.int64))
        self.mean = npnet.Buffer([0.0, 0.0])
        self.name = "counter"

    def forward(self, ctx, x):
        if ctx.training:
            self.seen = self.seen + 1
        ctx.save(x)
        return x * self.scale.data

    def backward(self, ctx, grad):
        (x,) = ctx.saved
        ctx.add_grad(self.scale, (grad * x).sum(axis=0))
        return grad * self.scale.data


def test_registration_by_assignment():
    layer = Counter()
    assert [n for n, _ in layer.named_parameters()] == ["scale"]
    assert list(layer.state_dict()) == ["scale", "seen", "mean"]
    layer.record(np.ones((1, 2)))
    layer(np.ones((1, 2)))
    assert layer.seen == 1
    assert layer.state_dict()["seen"] == 1
    layer.astype(np.float64)
    assert layer.mean.dtype == np.float64
    assert layer.seen.dtype == np.int64


def test_typos_raise():
    layer = npnet.Linear(2, 3)
    with pytest.raises(NameTypoError, match="did you mean 'weight'"):
        layer.wieght = npnet.Parameter(np.zeros((3, 2)))
    with pytest.raises(AttributeError):
        _ = layer.wieght
    with pytest.raises(TypeError):
        npnet.Linear(2, 3, biass=False)
    with pytest.raises(ArgumentError, match=r"weight\.data"):
        layer.weight = np.zeros((3, 2))


def test_replacing_and_removing_members():
    layer = npnet.Linear(2, 3)
    layer.bias = None
    assert list(layer.state_dict()) == ["weight"]
    layer.weight = npnet.Parameter(np.zeros((3, 2)))
    assert next(layer.parameters()) is layer.weight
    model = npnet.Sequential({"a": npnet.Linear(2, 2), "b": npnet.ReLU()})
    model.a = npnet.Linear(2, 5)
    assert model(np.zeros((1, 2))).shape == (1, 5)
    del model.b
    assert len(model) == 1


def test_layers_hidden_in_a_list_are_refused():
    class Hidden(npnet.Layer):
        def __init__(self):
            super().__init__()
            self.layers = [npnet.ReLU()]

    with pytest.raises(ArgumentError, match="Sequential"):
        Hidden()


def test_constructor_may_forget_super():
    class Forgetful(npnet.Layer):
        def __init__(self):
            self.weight = npnet.Parameter([1.0])

    assert len(list(Forgetful().parameters())) == 1


def test_shared_parameters_appear_once_but_have_both_keys():
    tied = npnet.Linear(3, 3)
    model = npnet.Sequential(tied, npnet.ReLU(), tied)
    assert len(list(model.parameters())) == 2
    assert list(model.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    other = npnet.Sequential(npnet.Linear(3, 3), npnet.Linear(3, 3))
    other[1].weight = other[0].weight
    assert len(list(other.parameters())) == 3


def test_a_layer_used_twice(rng):
    tied = npnet.Linear(3, 3, dtype=np.float64)
    model = npnet.Sequential(tied, npnet.Tanh(), tied)
    x, upstream = rng.normal(size=(4, 3)), rng.normal(size=(4, 3))
    y, tape = model.record(x)
    tape.backward(upstream)
    grad = tied.weight.grad.copy()
    step = rng.normal(size=(3, 3)) * 1e-6
    values = []
    for sign in (1, -1):
        tied.weight.data += sign * step
        values.append((model(x) * upstream).sum())
        tied.weight.data -= sign * step
    assert (values[0] - values[1]) / 2 == pytest.approx((grad * step).sum(), rel=1e-6)


def test_named_layers_and_repr():
    model = npnet.Sequential(npnet.Linear(2, 3), npnet.Sequential(npnet.ReLU()))
    assert [n for n, _ in model.named_layers()] == ["", "0", "1", "1.0"]
    assert repr(model) == (
        "Sequential(\n"
        "  (0): Linear(in_features=2, out_features=3, bias=True)\n"
        "  (1): Sequential(\n"
        "    (0): ReLU()\n"
        "  )\n"
        ")"
    )


def test_state_dict_is_a_copy():
    layer = npnet.Linear(2, 3)
    state = layer.state_dict()
    layer.weight.data += 1
    assert not np.array_equal(state["weight"], layer.weight.data)


def test_one_error_lists_everything_and_changes_nothing():
    model = npnet.Sequential(npnet.Linear(2, 3), npnet.ReLU(), npnet.Linear(3, 1))
    before = model.state_dict()
    bad = {**before, "0.weight": np.zeros((3, 3)), "1.mean": np.zeros(2), "0.bias": ["a"] * 3}
    del bad["2.bias"]
    with pytest.raises(StateError) as caught:
        model.load_state_dict(bad)
    text = str(caught.value)
    for part in ("missing: 2.bias", "unexpected: 1.mean", "0.weight is (3, 2), got (3, 3)",
                 "0.bias has dtype <U1"):  # fmt: skip
        assert part in text
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


def test_not_strict_passes_over_names_but_not_shapes():
    layer = npnet.Linear(2, 3)
    result = layer.load_state_dict({"weight": np.ones((3, 2)), "other": 1.0}, strict=False)
    assert result.missing == ["bias"]
    assert result.unexpected == ["other"]
    assert (layer.weight.data == 1).all()
    with pytest.raises(StateError, match="wrong shape"):
        layer.load_state_dict({"weight": np.ones((2, 3))}, strict=False)


def test_loading_keeps_the_optimizer_s_view():
    layer = npnet.Linear(2, 3)
    optimizer = npnet.optim.SGD(layer.parameters(), lr=1.0)
    layer.load_state_dict({"weight": np.ones((3, 2)), "bias": np.zeros(3)})
    layer.weight.grad, layer.bias.grad = np.ones((3, 2)), np.ones(3)
    optimizer.step()
    assert (layer.weight.data == 0).all()


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda p: pickle.loads(pickle.dumps(p))])
def test_copies_share_nothing(duplicate):
    model = npnet.Sequential(npnet.Linear(2, 3), npnet.ReLU())
    npnet.optim.Adam(model.parameters())
    twin = duplicate(model)
    assert twin[0].weight is next(twin.parameters())
    twin[0].weight.data += 1
    assert not np.array_equal(twin[0].weight.data, model[0].weight.data)
    with pytest.raises(NameTypoError):
        twin.other = 1


def test_inputs_are_converted_once_to_the_parameters_dtype():
    layer = npnet.Linear(2, 1)
    for x in (np.ones((3, 2)), np.ones((3, 2), int), [[1, 1]], np.ones((3, 2), bool)):
        assert layer(x).dtype == np.float32
    assert npnet.ReLU()(np.ones(2)).dtype == np.float64
    assert npnet.ReLU()([1, 2]).dtype == np.float32
    mixed = npnet.Sequential(npnet.Linear(2, 2, dtype=np.float64), npnet.Linear(2, 2))
    assert mixed(np.ones((1, 2))).dtype == np.float32
    y, tape = mixed.record(np.ones((1, 2)))
    assert tape.backward(np.ones((1, 2)), input_grad=True).dtype == np.float64


def test_masked_and_ragged_inputs_are_refused():
    with pytest.raises(DtypeError, match="mask"):
        npnet.ReLU()(np.ma.masked_array([1.0, 2.0], [True, False]))
    with pytest.raises(ShapeError, match="ragged"):
        npnet.ReLU()([[1.0], [1.0, 2.0]])


def test_an_error_names_the_layer_its_place_and_both_shapes():
    model = npnet.Sequential(npnet.Linear(4, 8), npnet.Sequential(npnet.ReLU(), npnet.Linear(9, 2)))
    for call in (model, model.record):
        with pytest.raises(ShapeError) as caught:
            call(np.zeros((5, 4)))
        text = str(caught.value)
        assert "Linear(in_features=9" in text
        assert "'1.1'" in text
        assert "(..., 9)" in text
        assert "(5, 8)" in text


def test_a_tape_is_used_once_and_checks_the_gradient():
    layer = npnet.Linear(2, 3)
    y, tape = layer.record(np.ones((4, 2)))
    with pytest.raises(ShapeError, match=r"gradient of shape \(4, 3\), got \(4, 1\)"):
        tape.backward(np.ones((4, 1)))
    with pytest.raises(DtypeError):
        tape.backward(np.ones((4, 3)) * 1j)
    with pytest.raises(TapeError, match="expected 1 gradient"):
        tape.backward(np.ones((4, 3)), np.ones((4, 3)))
    assert layer.weight.grad is None
    tape.backward(np.ones((4, 3)))
    with pytest.raises(TapeError, match="already"):
        tape.backward(np.ones((4, 3)))


def test_a_gradient_of_the_wrong_shape_names_the_layer_that_made_it():
    class Wrong(npnet.Linear):
        def backward(self, ctx, grad):
            ctx.add_grad(self.bias, grad)
            return grad

    y, tape = npnet.Sequential(npnet.ReLU(), Wrong(2, 2)).record(np.ones((4, 2)))
    with pytest.raises(ShapeError, match=r"Wrong.*'1'.*\(2,\), got \(4, 2\)"):
        tape.backward(np.ones((4, 2)))


class Join(npnet.Layer):
    """Two inputs, two outputs, and an index."""

    def forward(self, ctx, a, b):
        ctx.save(a, b)
        return a * b, a + b

    def backward(self, ctx, d_product, d_sum):
        a, b = ctx.saved
        return d_product * b + d_sum, d_product * a + d_sum


def test_several_inputs_and_outputs():
    (product, total), tape = Join().record([2.0, 3.0], [5.0, 7.0])
    assert product.tolist() == [10, 21]
    assert total.tolist() == [7, 10]
    da, db = tape.backward([1.0, 0.0], [0.0, 1.0], input_grad=True)
    assert da.tolist() == [5, 1]
    assert db.tolist() == [2, 1]
    with pytest.raises(TapeError, match="expected 2"):
        Join().record([1.0], [1.0])[1].backward([1.0])


class Lookup(npnet.Layer):
    takes_integers = True

    def __init__(self):
        super().__init__()
        self.weight = npnet.Parameter(np.arange(6.0).reshape(3, 2))

    def forward(self, ctx, index):
        ctx.save(index)
        return self.weight.data[index]

    def backward(self, ctx, grad):
        (index,) = ctx.saved
        total = np.zeros(self.weight.shape)
        np.add.at(total, index, grad)
        ctx.add_grad(self.weight, total)


def test_indices_stay_integers_and_have_no_gradient():
    for model in (Lookup(), npnet.Sequential(Lookup(), npnet.Tanh())):
        y, tape = model.record([2, 0, 2])
        assert tape.backward(np.ones_like(y), input_grad=True) is None
        assert next(model.parameters()).grad[1].tolist() == [0, 0]


def test_forward_that_returns_nothing():
    class Nothing(npnet.Layer):
        def forward(self, ctx, x):
            pass

    with pytest.raises(ShapeError, match="forward returned None"):
        Nothing()(np.ones(2))
    with pytest.raises(NotImplementedError, match=r"it has no forward\(self, ctx, x\)"):
        npnet.Layer()(np.ones(2))


def test_layers_without_arguments_take_none():
    for kind in (npnet.ReLU, npnet.Tanh, npnet.Identity):
        with pytest.raises(TypeError):
            kind(inplace=True)
        with pytest.raises(TypeError):
            kind("junk")


@pytest.mark.parametrize(
    "make",
    [lambda: npnet.Dropout("a"), lambda: npnet.LeakyReLU("a"), lambda: npnet.Softplus(np.nan),
     lambda: npnet.Softplus(0), lambda: npnet.Softmax(None), lambda: npnet.Flatten(1.5),
     lambda: npnet.ELU(None), lambda: npnet.GELU("fast"), lambda: npnet.ReLU().summary(2)],
)  # fmt: skip
def test_bad_constructor_arguments(make):
    with pytest.raises(ArgumentError):
        make()


@pytest.mark.parametrize("activation", [npnet.ReLU, npnet.LeakyReLU, npnet.Tanh, npnet.Softmax])
def test_a_layer_of_another_dtype_next_to_an_activation(activation, rng):
    model = npnet.Sequential(
        npnet.Linear(3, 4), activation(), npnet.Linear(4, 2, dtype=np.float64), activation()
    )
    y, tape = model.record(rng.normal(size=(5, 3)))
    assert y.dtype == np.float64
    dx = tape.backward(np.ones((5, 2)), input_grad=True)
    assert dx.dtype == np.float32


def test_big_endian_input(rng):
    x = rng.normal(size=20)
    for dtype in (">f4", ">f8"):
        y, tape = npnet.ReLU().record(x.astype(dtype))
        dx = tape.backward(np.ones(20), input_grad=True)
        np.testing.assert_array_equal(dx, (x > 0).astype(float))
        assert npnet.Parameter(x.astype(dtype)).dtype.isnative


def test_a_child_that_forgets_to_return():
    class NoOutput(npnet.ReLU):
        def forward(self, ctx, x):
            super().forward(ctx, x)

    class NoGradient(npnet.ReLU):
        def backward(self, ctx, grad):
            super().backward(ctx, grad)

    with pytest.raises(ShapeError, match=r"NoOutput.*'1'.*forward returned None"):
        npnet.Sequential(npnet.Linear(2, 2), NoOutput(), npnet.ReLU())(np.ones((1, 2)))
    _, tape = npnet.Sequential(npnet.Linear(2, 2), NoGradient()).record(np.ones((1, 2)))
    with pytest.raises(ShapeError, match=r"NoGradient.*'1'.*must return.*NoneType"):
        tape.backward(np.ones((1, 2)))


def test_state_that_cannot_be_read():
    layer = npnet.Linear(1, 1)
    with pytest.raises(StateError, match="mapping"):
        layer.load_state_dict(None)
    with pytest.raises(StateError, match="bias cannot be read"):
        layer.load_state_dict({"weight": [[1.0]], "bias": [[1.0], [1.0, 2.0]]})


def test_scalar_output():
    class Total(npnet.Layer):
        def forward(self, ctx, x):
            ctx.shape = x.shape
            return x.sum()

        def backward(self, ctx, grad):
            return np.broadcast_to(grad, ctx.shape)

    y, tape = Total().record(np.ones((2, 3)))
    assert y.shape == ()
    assert tape.backward(2.0, input_grad=True).tolist() == [[2, 2, 2], [2, 2, 2]]


def test_randomness_comes_from_the_pass():
    layer, x = npnet.Dropout(0.5), np.ones(100)
    assert np.array_equal(layer.record(x, rng=1)[0], layer.record(x, rng=1)[0])
    npnet.manual_seed(3)
    a = layer.record(x)[0]
    npnet.manual_seed(3)
    assert np.array_equal(layer.record(x)[0], a)
    two = npnet.Sequential(npnet.Dropout(0.5), npnet.Dropout(0.5))
    y = two.record(np.ones(10_000), rng=1)[0]
    assert abs((y > 0).mean() - 0.25) < 0.02  # the two masks differ
    assert np.array_equal(layer(x), x)
    assert np.array_equal(layer.record(x, training=False)[0], x)


def test_dropout_edges():
    with pytest.raises(ArgumentError, match="of at least 0 and at most 1"):
        npnet.Dropout(1.5)
    y, tape = npnet.Dropout(1.0).record(np.ones(5))
    assert not y.any()
    assert not tape.backward(np.ones(5), input_grad=True).any()


def test_summary():
    model = npnet.Sequential(
        npnet.Flatten(), npnet.Linear(12, 5), npnet.Sequential(npnet.ReLU(), npnet.Linear(5, 2))
    )
    summary = model.summary((3, 4))
    assert summary.rows == [
        ("0", "Flatten", (1, 12), 0, 0),
        ("1", "Linear", (1, 5), 65, 120),
        ("2.0", "ReLU", (1, 5), 0, 0),
        ("2.1", "Linear", (1, 2), 12, 20),
    ]
    assert summary.total == 77
    assert summary.flops == 140
    # kept for a batch of 10: Linear's input (12) and ReLU's output (5), which the last layer shares
    ten = model.summary((3, 4), batch_size=10)
    assert ten.kept == 10 * (12 + 5) * 4
    assert ten.training_bytes == 4 * 77 * 4 + ten.kept
    assert "77 parameters" in str(summary)
    with pytest.raises(ShapeError, match="layer '1'"):
        model.summary((5,))
    with pytest.raises(ArgumentError, match=r"input_shape\[0\]"):
        model.summary((-1,))


def test_manual_seed_makes_weights_repeat():
    npnet.manual_seed(5)
    a = npnet.Linear(3, 3).weight.data
    npnet.manual_seed(5)
    assert np.array_equal(npnet.Linear(3, 3).weight.data, a)
    state = np.random.get_state()[1].copy()
    npnet.Linear(3, 3)
    assert np.array_equal(np.random.get_state()[1], state)
    with pytest.raises(ArgumentError, match="seed to be an integer of at least 0"):
        npnet.manual_seed(-1)


@pytest.mark.parametrize("sizes", [(0, 2), (2, -1), (2.5, 1), ("2", 1), (True, 1)])
def test_linear_refuses_bad_sizes(sizes):
    with pytest.raises(ArgumentError, match="positive integer"):
        npnet.Linear(*sizes)


@pytest.mark.parametrize(
    ("returned", "message"),
    [(1.0, "must return arrays, it returned float"), (([1.0], [2.0]), "1 gradient.*returned 2")],
)
def test_what_backward_returns_is_checked(returned, message):
    class Odd(npnet.Layer):
        def forward(self, ctx, x):
            return x

        def backward(self, ctx, grad):
            return returned

    _, tape = Odd().record([1.0, 2.0])
    with pytest.raises(TapeError, match=message):
        tape.backward([1.0, 1.0], input_grad=True)


def test_a_child_leaves_the_facts_of_its_parent_alone(rng):
    class Flat(npnet.Layer):
        def __init__(self):
            super().__init__()
            self.inner = npnet.Sequential(npnet.Linear(4, 4), npnet.ReLU())

        def forward(self, ctx, x):
            ctx.shape = x.shape
            return ctx.call(self.inner, x.reshape(-1, 4)).reshape(ctx.shape)

    layer, x = Flat(), rng.normal(size=(2, 3, 4)).astype(np.float32)
    np.testing.assert_array_equal(layer(x), layer.record(x)[0])


def test_a_state_whose_values_the_layer_cannot_keep_is_refused():
    class Counts(npnet.Layer):
        def __init__(self):
            super().__init__()
            self.a = npnet.Parameter(np.ones(2))
            self.count = npnet.Buffer(np.zeros(2, np.int64))

    layer = Counts().astype(np.float32)
    before = layer.state_dict()
    for name, wrong in (("count", [2.7, 1]), ("count", [np.nan, 1]), ("a", [1e300, 1.0])):
        state = {**before, "a": np.array([5.0, 6.0]), name: np.array(wrong)}
        with pytest.raises(npnet.errors.StateError, match=f"not kept by .*: {name}"):
            layer.load_state_dict(state)
        for key, value in layer.state_dict().items():
            np.testing.assert_array_equal(value, before[key])
    layer.load_state_dict({"a": np.array([np.inf, np.nan]), "count": np.array([3.0, 4.0])})
    assert layer.count.tolist() == [3, 4]
    assert np.isinf(layer.a.data[0])
    with pytest.raises(npnet.errors.StateError, match="not real numbers: a has dtype complex"):
        layer.load_state_dict({**before, "a": np.ones(2, complex)})


def test_summary_and_profile_leave_buffers_and_take_several_inputs():
    class Moves(npnet.Layer):
        takes_integers = (False, True)

        def __init__(self):
            super().__init__()
            self.linear = npnet.Linear(3, 2)
            self.seen = npnet.Buffer(np.zeros(1))

        def forward(self, ctx, x, index):
            assert index.dtype.kind == "i"
            if ctx.recording:
                self.seen = self.seen + 1
            return ctx.call(self.linear, x[index])

        def backward(self, ctx, grad):
            ctx.calls.pop().backward(grad)
            return None

    layer = Moves()
    rows = layer.summary([(3,), ()], batch_size=4).rows
    assert [(row.name, row.output_shape) for row in rows] == [("linear", (4, 2))]
    assert layer.seen == 0
    costs = npnet.profile(
        layer, (np.ones((4, 3)), np.arange(4)), np.zeros((4, 2)), npnet.MSELoss(), rounds=2
    )
    assert [cost.name for cost in costs.layers] == ["linear"]


def test_inputs_are_given_by_name_too():
    bag = npnet.EmbeddingBag(3, 2, mode="sum").astype(np.float64)
    rows, weights = [[0, 1]], np.array([[1.0, 2.0]])
    expected = bag(rows, None, weights)
    np.testing.assert_array_equal(bag(rows, per_sample_weights=weights), expected)
    y, tape = bag.record(x=rows, per_sample_weights=weights, training=False)
    np.testing.assert_array_equal(y, expected)
    dweights = tape.backward([[1.0, 0.0]], input_grad=True)[2]
    np.testing.assert_array_equal(dweights, bag.weight.data[:2, 0][np.newaxis])
    for call in (bag, bag.record):
        with pytest.raises(SignatureError, match=r"'weight'.* takes \(x, offsets=None, per_"):
            call(rows, weight=weights)
        with pytest.raises(SignatureError, match="multiple values for argument 'x'"):
            call(rows, x=rows)
    with pytest.raises(SignatureError, match=r"it takes \(\*xs\)"):
        npnet.Sequential(npnet.ReLU())(x=[1.0])
