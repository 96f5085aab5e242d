"""Where gradients are checked besides the given point: float32, modes, kinks, other inputs."""

import re

import numpy as np
import pytest
from zoo.small import Square

import npnet
from npnet.gradcheck import Verdict, check_gradients, check_layer
from npnet.gradcheck.numeric.places import branches

X = np.random.default_rng(0).normal(size=(5, 4))


class Elementwise(npnet.Layer):
    """A function and its slope."""

    def value(self, x):
        raise NotImplementedError

    def slope(self, x):
        raise NotImplementedError

    def forward(self, ctx, x):
        ctx.save(x)
        return self.value(x)

    def backward(self, ctx, grad):
        (x,) = ctx.saved
        return grad * self.slope(x).astype(x.dtype)


def said(layer, *inputs, check=check_layer, **options):
    report = check(layer, *inputs, raises=False, **options)
    assert not report.ok
    return str(report)


# --- float32


@pytest.mark.parametrize("factor", [0.5, 0.999, 1.0001])
@pytest.mark.parametrize("check", [check_layer, check_gradients])
def test_a_branch_for_float32_is_compared_with_float64(factor, check):
    class Branch(Square):
        def backward(self, ctx, grad):
            return super().backward(ctx, grad) * (factor if grad.dtype == np.float32 else 1)

    assert f"in float32 the gradient of input is {factor:.7g} times" in said(
        Branch(), X, check=check
    )
    assert "in float32" not in str(check(Square(), X))


def test_values_in_float32_are_compared():
    class Branch(Square):
        def forward(self, ctx, x):
            y = super().forward(ctx, x)
            return y * np.float32(1.001) if x.dtype == np.float32 else y

    assert "in float32 the output is 1.001 times" in said(Branch(), X)


def test_float32_mode_sees_its_own_branch():
    class Branch(Square):
        def backward(self, ctx, grad):
            return super().backward(ctx, grad) * (0.999 if grad.dtype == np.float32 else 1)

    assert not check_gradients(Branch(), X, dtype=np.float32, raises=False).ok
    assert check_gradients(npnet.Linear(4, 3, dtype=np.float64), X, dtype=np.float32).ok


class NaiveSoftmax(npnet.Layer):
    def forward(self, ctx, x):
        e = np.exp(x)
        y = e / e.sum(-1, keepdims=True)
        ctx.save(y)
        return y

    def backward(self, ctx, grad):
        (y,) = ctx.saved
        return y * (grad - (grad * y).sum(-1, keepdims=True))


def test_a_number_too_large_for_float32_is_told_from_a_domain():
    assert "in float32 the output is nan" in said(NaiveSoftmax(), 100 * X)
    assert "in float32 the output is nan" in said(NaiveSoftmax(), (3, 4))

    class Log(Elementwise):
        def value(self, x):
            return np.log(x)

        def slope(self, x):
            return 1 / x

    report = check_layer(Log(), np.abs(X), probe=True)
    assert any("left out, because forward cannot be computed there" in n for n in report.notes)
    assert check_layer(Log(), (3, 4), domain=(0.1, np.inf)).ok


# --- evaluation mode, other parameters


def test_gradients_in_evaluation_mode():
    class Halves(Square):
        def forward(self, ctx, x):
            ctx.mode = ctx.training
            return super().forward(ctx, x)

        def backward(self, ctx, grad):
            return super().backward(ctx, grad) * (1 if ctx.mode else 0.5)

    assert "in evaluation mode" in said(Halves(), X, check=check_gradients)


def test_a_gain_forgotten_in_evaluation_mode_alone():
    class Gain(npnet.Layer):
        def __init__(self):
            super().__init__()
            self.gain = npnet.Parameter(np.ones(4))

        def forward(self, ctx, x):
            ctx.save(x)
            ctx.mode = ctx.training
            return x * self.gain.data

        def backward(self, ctx, grad):
            (x,) = ctx.saved
            ctx.add_grad(self.gain, (grad * x).sum(0))
            return grad * self.gain.data if ctx.mode else grad.copy()

    assert "in evaluation mode" in said(Gain, X)


@pytest.mark.parametrize("start", [0.0, 1.0])
def test_what_a_parameter_hides_where_it_starts_is_not_called_stale(start):
    class Forgets(npnet.Layer):
        def __init__(self):
            super().__init__()
            self.scale = npnet.Parameter(np.full(4, start))

        def forward(self, ctx, x):
            ctx.save(x)
            return x * x + x * (self.scale.data - start)

        def backward(self, ctx, grad):
            (x,) = ctx.saved
            ctx.add_grad(self.scale, (grad * x).sum(0))
            return grad * 2 * x

    text = said(Forgets(), X, check=check_gradients)
    assert "with other parameters" in text
    assert "earlier call" not in text


# --- kinks


class RowMax(npnet.Layer):
    """The largest of each row; ties by `share`: the first, all, or halves."""

    def __init__(self, share="first"):
        super().__init__()
        self.share = share

    def forward(self, ctx, x):
        ctx.save(x)
        return x.max(axis=1)

    def backward(self, ctx, grad):
        (x,) = ctx.saved
        ties = x == x.max(axis=1, keepdims=True)
        if self.share == "first":
            ties = np.eye(x.shape[1])[x.argmax(axis=1)]
        elif self.share == "even":
            ties = ties / ties.sum(axis=1, keepdims=True)
        return (ties * grad[:, None]).astype(x.dtype)


TIED = np.array([[1.0, 2.0, 2.0], [3.0, 3.0, 3.0], [0.0, 1.0, -1.0]])


@pytest.mark.parametrize("share", ["first", "even"])
def test_ties_may_be_broken_or_shared(share):
    assert check_layer(RowMax(share), TIED).ok


def test_ties_may_not_all_get_the_whole_gradient():
    text = said(RowMax("all"), TIED, check=check_gradients)
    assert "of several equal elements, each gets the whole gradient" in text
    assert check_gradients(RowMax("all"), TIED + np.arange(3) / 10).ok


def test_a_limit_from_nearby_is_right_where_three_are_equal():
    class Sort(npnet.Layer):
        def forward(self, ctx, x):
            ctx.order = x.argsort(axis=1, kind="stable")
            return np.take_along_axis(x, ctx.order, 1)

        def backward(self, ctx, grad):
            dx = np.empty_like(grad)
            np.put_along_axis(dx, ctx.order, grad, 1)
            return dx

    report = check_gradients(Sort(), np.array([[2.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0]]))
    assert report.tensor("input").count(Verdict.KINK) > 4


@pytest.mark.parametrize("slope", [-0.05, 1.05, 0.3])
def test_a_slope_at_zero_lies_between_those_beside_it(slope):
    class Relu(Elementwise):
        def value(self, x):
            return np.maximum(x, 0)

        def slope(self, x):
            return np.where(x == 0, slope, x > 0)

    assert check_gradients(Relu(), np.zeros(3), raises=False).ok == (0 <= slope <= 1)


def test_outputs_that_share_a_kink_are_right_one_by_one():
    class Both(npnet.Layer):
        def forward(self, ctx, x):
            ctx.save(x)
            return np.concatenate([np.maximum(x, 0), np.maximum(-x, 0)], axis=1)

        def backward(self, ctx, grad):
            (x,) = ctx.saved
            up, down = np.split(grad, 2, axis=1)
            return up * (x > 0) - down * (x < 0)

    for seed in range(5):
        assert check_layer(Both(), np.zeros((2, 3)), seed=seed).ok


def test_a_fault_of_a_thousandth_beside_a_kink_is_no_kink():
    class Off(npnet.ReLU):
        def backward(self, ctx, grad):
            dx = super().backward(ctx, grad)
            dx[0, 0] *= 1.001
            return dx

    report = check_gradients(Off(), np.array([[1.0, 0.0, -1.0]]), raises=False)
    assert report.tensor("input").verdicts.tolist() == [Verdict.WRONG, Verdict.KINK, Verdict.OK]


# --- other inputs


class HardSwish(Elementwise):
    def value(self, x):
        return x * np.clip(x + 3, 0, 6) / 6

    def slope(self, x):
        return np.where(x > -3, (2 * x + 3) / 6, 0)  # 1 above 3 is forgotten


class SlopeNearZero(Elementwise):
    def value(self, x):
        return x * x

    def slope(self, x):
        return np.where((x > 0) & (x < 0.1), 3.0, 2.0) * x


class Softplus(Elementwise):
    def value(self, x):
        return np.logaddexp(0, x)

    def slope(self, x):
        return np.exp(x) / (1 + np.exp(x))


@pytest.mark.parametrize(
    ("layer", "region"),
    [
        (HardSwish, "input is above about 3$"),
        (SlopeNearZero, "input is between about -?[0-9.e-]+ and 0.1$"),
        (Softplus, "input is above about 709.8$"),
    ],
)
def test_regions_where_nobody_looked(layer, region):
    text = said(layer, (4, 6))
    assert re.search(f"(?m)wrong exactly where {region}", text), text
    narrow = np.random.default_rng(0).uniform(0.2, 1.5, (4, 6))
    assert check_gradients(layer(), narrow).ok  # arrays are taken as they are


def test_batches_of_other_sizes_are_visited():
    class Sixteen(Square):
        def backward(self, ctx, grad):
            dx = super().backward(ctx, grad)
            dx[16:] = 0
            return dx

    assert "with a batch of 17" in said(Sixteen, X)


def test_a_root_may_be_infinitely_steep_but_not_undefined():
    class Root(Elementwise):
        def value(self, x):
            return np.sqrt(x)

        def slope(self, x):
            return 0.5 / np.sqrt(x)

    class Norm(npnet.Layer):
        def forward(self, ctx, x):
            norm = np.sqrt((x * x).sum(-1, keepdims=True))
            ctx.save(x, norm)
            return norm

        def backward(self, ctx, grad):
            x, norm = ctx.saved
            return grad * x / norm

    assert check_gradients(Root(), np.array([0.0, 1.0])).ok
    assert "nan" in said(Norm(), (3, 4))


def test_branches_are_found_and_poles_are_not():
    def bent(t):
        return max(t, 2.5) + 0.1 * t * t

    assert branches(bent, 1e-12) == pytest.approx([2.5])
    assert branches(lambda t: np.tanh(t), 1e-12) == []
    assert branches(lambda t: 1 / (t - 1.2345), 1e-12) == []


def test_a_progress_bar_is_shown_when_it_takes_long(monkeypatch):
    import tqdm

    bars = []

    class Bar(tqdm.tqdm):
        def __init__(self, **options):
            super().__init__(**options)
            self.options = options
            bars.append(self)

    monkeypatch.setattr(tqdm, "tqdm", Bar)
    check_gradients(Square(), X)
    (bar,) = bars
    assert bar.options["delay"] == 2
    assert bar.n == bar.options["total"] == X.size
