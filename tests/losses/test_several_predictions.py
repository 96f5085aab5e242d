"""Losses of several predictions, and with a reduction of their own, against PyTorch."""

import numpy as np
import pytest

import npnet
from cases import LOSSES_OF_ARRAYS, N
from npnet.errors import ArgumentError, ShapeError, SignatureError
from npnet.gradcheck import check_layer
from npnet.losses import GaussianNLLLoss, KLDivLoss, Loss, Terms, TripletMarginLoss
from numerics import central_differences

RUNS = [
    pytest.param(case.kind, case.options, case.arrays, reduction, id=f"{i}-{case.id}-{reduction}")
    for i, case in enumerate(LOSSES_OF_ARRAYS)
    for reduction in (*case.kind.means, "sum", "none")
]
CLOSE = {"rtol": 1e-9, "atol": 1e-12}


def in_torch(kind):
    torch = pytest.importorskip("torch", reason="needs the oracle: pip install torch")
    own = pytest.importorskip("torch_losses")
    return torch, getattr(torch.nn, kind.__name__, None) or getattr(own, kind.__name__)


def in_tensors(torch, options):
    return {k: torch.tensor(v).double() if k == "weight" else v for k, v in options.items()}


def as_tuple(grad):
    return grad if isinstance(grad, tuple) else (grad,)


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides:UserWarning")
@pytest.mark.parametrize(("kind", "options", "arrays", "reduction"), RUNS)
def test_value_and_gradients_are_those_of_torch(kind, options, arrays, reduction, rng):
    torch, reference = in_torch(kind)
    given = arrays(rng)
    tensors = [torch.from_numpy(a.copy()) for a in given]
    wanted = [tensors[kind.arguments.index(name)].requires_grad_() for name in kind.predictions]
    expected = reference(**in_tensors(torch, options), reduction=reduction)(*tensors)
    expected.sum().backward()
    loss = kind(**options, reduction=reduction)
    value, grad = loss.value_and_grad(*given)
    assert isinstance(grad, tuple) == (len(kind.predictions) > 1)
    np.testing.assert_allclose(value, expected.detach().numpy(), **CLOSE)
    for g, tensor in zip(as_tuple(grad), wanted, strict=True):
        np.testing.assert_allclose(g, tensor.grad.numpy(), **CLOSE)
    np.testing.assert_array_equal(loss(*given), value)
    assert loss.evaluate(*given, with_grad=False).grad is None


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("kind", "options", "arrays", "reduction"), RUNS)
def test_the_contract_is_kept(kind, options, arrays, reduction, dtype, rng):
    only = None if dtype == np.float64 else ["gradients"]
    assert check_layer(
        kind(**options, reduction=reduction), *arrays(rng), dtype=dtype, only=only
    ).ok


@pytest.mark.parametrize("per_term", [False, True])
@pytest.mark.parametrize(("kind", "options", "arrays", "reduction"), RUNS)
def test_sample_weights_are_those_of_torch(kind, options, arrays, reduction, per_term, rng):
    torch, reference = in_torch(kind)
    given = arrays(rng)
    tensors = [torch.from_numpy(a.copy()) for a in given]
    wanted = [tensors[kind.arguments.index(name)].requires_grad_() for name in kind.predictions]
    terms = reference(**in_tensors(torch, options), reduction="none")(*tensors)
    weight = rng.uniform(0, 2, terms.shape if per_term else N)
    w = torch.from_numpy(weight).reshape(weight.shape + (1,) * (terms.ndim - weight.ndim))
    expected = terms * w
    share = {"mean": 1, "batchmean": terms.numel() / N}
    if reduction != "none":
        expected = expected.sum()
    if reduction in share:
        expected = expected * share[reduction] / w.expand(terms.shape).sum()
    expected.sum().backward()
    value, grad = kind(**options, reduction=reduction).value_and_grad(*given, sample_weight=weight)
    np.testing.assert_allclose(value, expected.detach().numpy(), **CLOSE)
    for g, tensor in zip(as_tuple(grad), wanted, strict=True):
        np.testing.assert_allclose(g, tensor.grad.numpy(), **CLOSE)


@pytest.mark.parametrize(("kind", "options", "arrays", "reduction"), RUNS)
def test_a_weight_of_two_is_the_sample_given_twice(kind, options, arrays, reduction, rng):
    if reduction == "none":
        return
    given, times = arrays(rng), np.array([1, 2, 0, 3, 1, 2])
    rows = np.repeat(np.arange(N), times)
    loss = kind(**options, reduction=reduction)
    value, grad = loss.value_and_grad(*given, sample_weight=times)
    repeated, grad_of_rows = loss.value_and_grad(*(a[rows] for a in given))
    np.testing.assert_allclose(value, repeated, rtol=1e-12)
    for g, by_row in zip(as_tuple(grad), as_tuple(grad_of_rows), strict=True):
        total = np.zeros_like(g)
        np.add.at(total, rows, by_row)
        np.testing.assert_allclose(g, total, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("kind", "options", "arrays", "reduction"), RUNS)
def test_means_of_batches_join(kind, options, arrays, reduction, weighted, rng):
    loss = kind(**options, reduction=reduction)
    if reduction not in loss.means:
        return
    given, weight = arrays(rng), rng.uniform(0, 2, N) if weighted else None
    total = joined = 0.0
    for rows in (slice(0, 1), slice(1, 4), slice(4, N)):
        part = loss.evaluate(
            *(a[rows] for a in given), sample_weight=weight if weight is None else weight[rows]
        )
        joined += part.value * part.weight
        total += part.weight
    whole = loss.evaluate(*given, sample_weight=weight)
    np.testing.assert_allclose(joined / total, whole.value, rtol=1e-12)
    np.testing.assert_allclose(total, whole.weight, rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("kind", "options", "arrays", "reduction"), RUNS)
def test_gradients_have_dtype_and_shape_of_their_predictions(
    kind, options, arrays, reduction, dtype, rng
):
    given = [a.astype(dtype) if a.dtype.kind == "f" else a for a in arrays(rng)]
    before = [a.copy() for a in given]
    weight = rng.uniform(0, 2, N)
    value, grad = kind(**options, reduction=reduction).value_and_grad(*given, sample_weight=weight)
    by_name = dict(zip(kind.arguments, given, strict=True))
    for name, g in zip(kind.predictions, as_tuple(grad), strict=True):
        assert (g.dtype, g.shape) == (dtype, by_name[name].shape)
    assert isinstance(value, float) or value.dtype == dtype
    for a, b in zip(given, before, strict=True):
        np.testing.assert_array_equal(a, b)


class Twice(Loss):
    """Its gradient is one array, given for both predictions."""

    arguments = predictions = ("a", "b")

    def terms(self, a, b, with_grad):
        grad = 2 * (a + b)
        return Terms((a + b) ** 2, None, (grad, grad))


def test_every_prediction_is_floating():
    value, grads = GaussianNLLLoss().value_and_grad([3], [1], [2])
    assert value == pytest.approx(0.5 * (np.log(2) + 2))
    assert [g.dtype for g in grads] == [np.float32, np.float32]


def test_a_gradient_that_may_not_be_written():
    class Sum(Loss):
        def terms(self, pred, target, with_grad):
            return Terms(pred - target, None, np.broadcast_to(pred.dtype.type(1), pred.shape))

    assert Sum().value_and_grad([2.0, 4.0], [1.0, 1.0])[1].tolist() == [0.5, 0.5]


@pytest.mark.parametrize("weight", [None, [1.0, 3.0]])
def test_one_array_as_the_gradient_of_two_predictions(weight, rng):
    a, b = rng.normal(size=(2, 2))
    for g in Twice().value_and_grad(a, b, sample_weight=weight)[1]:
        numeric = central_differences(lambda: Twice()(a, b, sample_weight=weight), a)
        np.testing.assert_allclose(g, numeric, rtol=1e-6)


def test_terms_of_a_prediction_s_first_axes(rng):
    class RowNorm(Loss):
        """Predictions of different shapes: one term for a row of the first, the second is 1-d."""

        arguments = predictions = ("a", "b")

        def terms(self, a, b, with_grad):
            return Terms(
                (a * a).sum((1, 2)) * b, None, (2 * a * b[:, None, None], (a * a).sum((1, 2)))
            )

    a, b, weight = rng.normal(size=(3, 2, 2)), rng.normal(size=3), [1.0, 0.5, 2.0]
    grads = RowNorm().value_and_grad(a, b, sample_weight=weight)[1]
    for g, x in zip(grads, (a, b), strict=True):
        numeric = central_differences(lambda: RowNorm()(a, b, sample_weight=weight), x)
        np.testing.assert_allclose(g, numeric, rtol=1e-6)


class Gaussian(npnet.Layer):
    """x -> (mean, var)."""

    def __init__(self):
        super().__init__()
        self.mean, self.log_var = (npnet.Linear(2, 1, dtype=np.float64, rng=i) for i in range(2))

    def forward(self, ctx, x):
        mean, var = ctx.call(self.mean, x), np.exp(ctx.call(self.log_var, x))
        ctx.save(var)
        return mean, var

    def backward(self, ctx, dmean, dvar):
        (var,) = ctx.saved
        of_log_var = ctx.calls[1].backward(dvar * var)
        return ctx.calls[0].backward(dmean) + of_log_var


def test_a_model_with_two_outputs_is_trained(rng):
    model, loss, x, y = (
        Gaussian(),
        GaussianNLLLoss(),
        rng.normal(size=(8, 2)),
        rng.normal(size=(8, 1)),
    )
    (mean, var), tape = model.record(x)
    tape.backward(*loss.value_and_grad(mean, y, var)[1])

    def value():
        mean, var = model(x)
        return loss(mean, y, var)

    for p in model.parameters():
        np.testing.assert_allclose(p.grad, central_differences(value, p.data), rtol=1e-6, atol=1e-9)


class Wrong(Loss):
    arguments = predictions = ("a", "b")

    def __init__(self, grad, reduction="mean"):
        super().__init__(reduction)
        self.grad = grad

    def terms(self, a, b, with_grad):
        return Terms(a * b, None, self.grad)


@pytest.mark.parametrize(
    ("grad", "error", "sentence"),
    [
        (np.ones(3), ArgumentError, r"a gradient for each of \('a', 'b'\), it returned 1"),
        (
            (np.ones(3), np.ones(4)),
            ShapeError,
            r"gradient from terms for b of shape \(3,\) or.*got \(4,\)",
        ),
        ((np.ones(3), np.ones(())), ShapeError, r"for b of shape \(3,\) or.*got \(\)"),
        (None, ArgumentError, "terms returned no gradient"),
    ],
)
@pytest.mark.parametrize("weight", [None, np.ones(3)])
def test_wrong_gradients_from_terms(grad, error, sentence, weight):
    with pytest.raises(error, match=sentence):
        Wrong(grad).value_and_grad(np.ones(3), np.ones(3), sample_weight=weight)


def test_classes_that_do_not_fit_together():
    def terms(self, mean, target, with_grad):
        pass

    for attributes, error, sentence in (
        ({"arguments": ("pred", "target", "var")}, SignatureError, "called with pred, target, var"),
        ({"arguments": "pred"}, ArgumentError, "tuples of names"),
        ({"predictions": "pred"}, ArgumentError, "tuples of names"),
        ({"predictions": ("mean",)}, ArgumentError, "the second some of the first"),
    ):
        with pytest.raises(error, match=sentence):
            type("Mine", (Loss,), {**attributes, "terms": terms})


def test_reductions_belong_to_their_class():
    assert KLDivLoss("batchmean").reduction == "batchmean"
    with pytest.raises(ArgumentError, match="'mean', 'batchmean', 'sum' or 'none', got 'bachmean'"):
        KLDivLoss("bachmean")
    with pytest.raises(ArgumentError, match="got 'batchmean'"):
        npnet.MSELoss("batchmean")


def test_the_number_of_arrays_is_checked():
    ones = np.ones(3)
    with pytest.raises(SignatureError, match=r"takes \(pred, target, var\), got 2 array"):
        GaussianNLLLoss()(ones, ones)
    with pytest.raises(SignatureError, match=r"got 3 array.* sample_weight="):
        npnet.MSELoss()(ones, ones, ones)
    with pytest.raises(ArgumentError, match=r"as anchor a tuple of 2 arrays.*\(anchor, positive"):
        TripletMarginLoss()((ones, ones), ones, ones)
