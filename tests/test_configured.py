"""Constructor arguments: signatures, making an object again, habits of other frameworks."""

import abc
import copy
import inspect

import numpy as np
import pytest

import npnet
from cases import LAYERS
from npnet.errors import ArgumentError, NameTypoError, SignatureError, StateError


def public(base):
    classes = (getattr(npnet, name) for name in npnet.__all__)
    return [c for c in classes if isinstance(c, type) and issubclass(c, base)]


PUBLIC = [*public(npnet.Layer), *public(npnet.Loss), npnet.optim.SGD, npnet.optim.Adam]


@pytest.mark.parametrize("cls", PUBLIC, ids=lambda c: c.__name__)
def test_signatures_name_the_arguments(cls):
    parameters = inspect.signature(cls).parameters
    assert "kwargs" not in parameters
    assert "args" not in parameters
    if cls is npnet.Linear:
        assert list(parameters) == ["in_features", "out_features", "bias", "dtype", "rng"]


def test_signatures_of_users_classes_and_abstract_ones():
    class Scale(npnet.Layer, abc.ABC):
        """Scaled."""

        def __init__(self, features, *, start=1.0):
            """Start."""
            super().__init__()
            self.features = features

    assert list(inspect.signature(Scale).parameters) == ["features", "start"]
    assert Scale.__init__.__doc__ == "Start."
    assert repr(Scale(3)) == "Scale(features=3, start=...)"


@pytest.mark.parametrize("case", LAYERS, ids=lambda c: c.id)
def test_every_layer_is_made_again_from_its_arguments(case):
    layer = case.make()
    again = type(layer).from_config(layer.get_config())
    assert repr(again) == repr(layer)
    again.load_state_dict(layer.state_dict())
    x = np.linspace(-1, 1, int(np.prod(case.shapes[0]))).reshape(case.shapes[0])
    np.testing.assert_array_equal(again(x), layer(x))


def test_arguments_that_are_no_attributes_are_named():
    class Forgets(npnet.Layer):
        def __init__(self, size, kind="a"):
            super().__init__()
            self.kind = kind

    with pytest.raises(StateError, match=r"Forgets cannot tell its argument 'size'.*get_config"):
        Forgets(3).get_config()
    assert repr(Forgets(3)) == "Forgets(size=..., kind='a')"


def test_any_number_of_arguments():
    class Sum(npnet.Layer):
        def __init__(self, start, *sizes, scale=1.0):
            super().__init__()
            self.start, self.sizes, self.scale = start, sizes, scale

    again = Sum.from_config(Sum(1, 2, 3, scale=0.5).get_config())
    assert (again.start, again.sizes, again.scale) == (1, (2, 3), 0.5)


def test_dtype_is_shown_and_kept_where_it_is_not_the_usual_one():
    layer = npnet.Linear(3, 2, bias=False, dtype=np.float64)
    assert "float64" in repr(layer)
    again = npnet.Linear.from_config(layer.get_config())
    assert again.dtype == np.float64
    assert again.bias is None
    assert "dtype" not in repr(npnet.Linear(3, 2))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: npnet.Linear(3), r"Linear: missing .*'out_features'; it takes \(in_features"),
        (lambda: npnet.Linear(3, 2, bais=False), "did you mean 'bias'"),
        (lambda: npnet.ReLU(3), "too many positional arguments"),
        (lambda: npnet.MSELoss(reducton="sum"), "did you mean 'reduction'"),
    ],
)
def test_wrong_arguments_are_explained(make, message):
    with pytest.raises(SignatureError, match=message) as caught:
        make()
    assert isinstance(caught.value, TypeError)


def test_a_type_error_inside_a_constructor_stays_what_it_is():
    class Broken(npnet.Layer):
        def __init__(self, size):
            super().__init__()
            self.size = size + "text"

    with pytest.raises(TypeError, match="unsupported operand") as caught:
        Broken(3)
    assert not isinstance(caught.value, SignatureError)


HABITS = {
    "train": "record", "eval": "record", "to": "astype", "fit": "Trainer", "predict": "model",
    "compile": "Trainer", "add": "append", "cuda": "CPU", "modules": "named_layers",
}  # fmt: skip


@pytest.mark.parametrize(("name", "fix"), HABITS.items())
def test_habits_meet_a_sentence(name, fix):
    model = npnet.Sequential(npnet.Linear(2, 2))
    assert not hasattr(model, name)
    with pytest.raises(NameTypoError, match=f"Sequential has no attribute '{name}'; .*{fix}"):
        getattr(model, name)


def test_backward_of_a_loss_meets_a_sentence():
    with pytest.raises(NameTypoError, match="value_and_grad"):
        npnet.MSELoss().backward()


def test_a_layer_may_have_an_attribute_or_method_of_such_a_name():
    class Mine(npnet.Layer):
        def __init__(self):
            super().__init__()
            self.layers = 3

        def train(self):
            return "trained"

    assert Mine().layers == 3
    assert Mine().train() == "trained"


def test_typos_raise():
    layer = npnet.Linear(2, 2)
    with pytest.raises(NameTypoError, match="did you mean 'weight'"):
        layer.wieght = 3
    with pytest.raises(AttributeError):
        layer.wieght  # noqa: B018
    with pytest.raises(NameTypoError, match="did you mean 'reduction'"):
        npnet.MSELoss().redution = "sum"
    twin = copy.deepcopy(layer)
    with pytest.raises(NameTypoError):
        twin.wieght = 3


def test_a_failed_constructor_does_not_open_the_next_object():
    class Fails(npnet.Layer):
        def __init__(self, fail):
            super().__init__()
            if fail:
                raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011
        Fails(True)
    with pytest.raises(NameTypoError):
        Fails(False).other = 1


@pytest.mark.parametrize("value", ["no", "False", 0, 1, None, np.array(True), [True], np.nan])
def test_flags_are_true_or_false(value):
    with pytest.raises(ArgumentError, match="expects bias to be True or False"):
        npnet.Linear(2, 2, bias=value)
    assert npnet.Linear(2, 2, bias=np.bool_(False)).bias is None


@pytest.mark.parametrize("value", [10**400, 10**30, 1.5, "3", None, np.array(3), True, 0])
def test_sizes_are_positive_integers(value):
    with pytest.raises(ArgumentError, match="expects in_features to be a positive integer"):
        npnet.Linear(value, 2)


@pytest.mark.parametrize("value", [10**400, "0.5", None, np.array(0.5), np.nan, np.inf, True, 1.5])
def test_probabilities_are_numbers(value):
    with pytest.raises(ArgumentError, match="Dropout expects p to be a finite number"):
        npnet.Dropout(value)
    assert npnet.Dropout(np.float16(0.5)).p == 0.5


@pytest.mark.parametrize("dtype", ["float33", int, complex, None, "O", object(), 7, np.bool_])
def test_dtypes_are_floating(dtype):
    layer = npnet.Linear(2, 2)
    with pytest.raises(npnet.errors.DtypeError, match="astype expects dtype to be a floating"):
        layer.astype(dtype)
    assert layer.dtype == np.float32


def test_a_number_too_long_to_print_is_refused_too():
    with pytest.raises(ArgumentError, match="got something of type int"):
        npnet.Linear(10**5000, 2)


@pytest.mark.parametrize("wrong", [3, "a", None, {1: 2}, [("bias", True)]])
@pytest.mark.parametrize("cls", [npnet.Linear, npnet.Sequential])
def test_a_configuration_is_arguments_by_name(cls, wrong):
    with pytest.raises(npnet.errors.ArgumentError, match=f"^{cls.__name__} expects config to be"):
        cls.from_config(wrong)


def test_several_arguments_are_a_list():
    with pytest.raises(npnet.errors.ArgumentError, match="^Sequential expects layers to be a list"):
        npnet.Sequential.from_config({"layers": 3})


def test_subclasses_with_arguments_of_their_own_are_made_again():
    class Square(npnet.Linear):
        def __init__(self, n, bias=True):
            super().__init__(n, n, bias)
            self.n = n

    class MLP(npnet.Sequential):
        def __init__(self, a, b):
            super().__init__(npnet.Linear(a, b), npnet.ReLU())
            self.a, self.b = a, b

    assert Square(3, False).get_config() == {"n": 3, "bias": False}
    assert Square.from_config(Square(3, False).get_config()).bias is None
    assert MLP(2, 3).get_config() == {"a": 2, "b": 3}
    assert len(MLP.from_config(MLP(2, 3).get_config())) == 2


def test_habits_are_not_listed():
    names = dir(npnet.Linear(2, 2))
    assert {"weight", "forward", "record", "summary"} <= set(names)
    assert {"train", "fit", "cuda"}.isdisjoint(names)
