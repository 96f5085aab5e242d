"""Planted bugs in what works along rows: softmax, sorting, cumulating, statistics."""

import numpy as np

import npnet
from zoo.mutants import COUPLING, FLOAT32, NOT_FINITE, normal, planted

_X = (3, 5)
_TIES = np.array([[1.0, 3.0, 3.0, 3.0, 0.0], [2.0, 2.0, 0.5, 0.5, 2.0], [1.0, 2.0, 3.0, 4.0, 5.0]])
_SHIFT = "shift|off by one|by one|moved|roll|exclusive|next"
_ORDER = "order|permut|invers|sort|scatter|place"


class Along(npnet.Layer):
    """y = value(x) along the last axis; `back` makes the gradient of x from that of y."""

    def forward(self, ctx, x):
        y = self.value(x)
        ctx.save(x, y)
        return y

    def backward(self, ctx, grad):
        return self.back(grad, *ctx.saved)


class Softmax(Along):
    """Softmax of x / 2."""

    def value(self, x):
        e = np.exp(self.shifted(x / 2))
        return e / e.sum(-1, keepdims=True)

    def shifted(self, x):
        return x - x.max(-1, keepdims=True)

    def back(self, grad, x, y):
        return y * (grad - (y * grad).sum(-1, keepdims=True)) / 2


class LogSumExp(Along):
    def value(self, x):
        top = x.max(-1, keepdims=True)
        return np.log(np.exp(x - top).sum(-1)) + top[..., 0]

    def back(self, grad, x, y):
        return grad[..., None] * np.exp(x - y[..., None])


class LogSoftmax(Along):
    def value(self, x):
        e = x - x.max(-1, keepdims=True)
        return e - np.log(np.exp(e).sum(-1, keepdims=True))

    def back(self, grad, x, y):
        return grad - np.exp(y) * grad.sum(-1, keepdims=True)


class Sparsemax(Along):
    """The projection of each row on the probabilities."""

    def value(self, x):
        z = -np.sort(-x, -1)
        count = np.arange(1, x.shape[-1] + 1, dtype=x.dtype)
        total = z.cumsum(-1)
        size = (1 + count * z > total).sum(-1, keepdims=True)
        tau = (np.take_along_axis(total, size - 1, -1) - 1) / size
        return np.maximum(x - tau, 0).astype(x.dtype)

    def back(self, grad, x, y):
        kept = y > 0
        return kept * (grad - (grad * kept).sum(-1, keepdims=True) / self.support(kept))

    def support(self, kept):
        return kept.sum(-1, keepdims=True).astype(np.float32)


class Sort(Along):
    def value(self, x):
        return np.sort(x, -1)

    def back(self, grad, x, y):
        dx = np.empty_like(grad)
        np.put_along_axis(dx, np.argsort(x, -1, kind="stable"), grad, -1)
        return dx


class TopK(Along):
    """The two largest numbers of each row, the largest first."""

    def value(self, x):
        return -np.sort(-x, -1)[..., :2]

    def back(self, grad, x, y):
        dx = np.zeros_like(x)
        np.put_along_axis(dx, self.places(x), grad, -1)
        return dx

    def places(self, x):
        return np.argsort(-x, -1, kind="stable")[..., :2]


class Median(Along):
    """The mean of the two middle numbers of an even row."""

    def value(self, x):
        middle = np.sort(x, -1)[..., x.shape[-1] // 2 - 1 :][..., :2]
        return middle.mean(-1)

    def back(self, grad, x, y):
        dx = np.zeros_like(x)
        middle = np.argsort(x, -1, kind="stable")[..., x.shape[-1] // 2 - 1 :][..., :2]
        np.put_along_axis(dx, middle, self.parts(grad), -1)
        return dx

    def parts(self, grad):
        return np.stack([grad / 2, grad / 2], -1)


class Cumsum(Along):
    def value(self, x):
        return x.cumsum(-1)

    def back(self, grad, x, y):
        return grad[..., ::-1].cumsum(-1)[..., ::-1]


class Cumprod(Along):
    def value(self, x):
        return x.cumprod(-1)

    def back(self, grad, x, y):
        dx = np.zeros_like(x)
        for i in range(x.shape[-1]):  # without the factor x_i
            rest = x.copy()
            rest[..., i] = 1
            dx[..., i] = (grad * rest.cumprod(-1))[..., i:].sum(-1)
        return dx


class Cummax(Along):
    def value(self, x):
        return np.maximum.accumulate(x, -1)

    def back(self, grad, x, y):
        dx = np.zeros_like(x)
        new = np.concatenate([np.ones_like(x[..., :1], bool), y[..., 1:] > y[..., :-1]], -1)
        place = np.maximum.accumulate(np.where(new, np.arange(x.shape[-1]), 0), -1)
        rows = np.arange(len(x))[:, None]
        self.add(dx, rows, place, grad)
        return dx

    def add(self, dx, rows, place, grad):
        np.add.at(dx, (rows, place), grad)


class Std(Along):
    """The deviation of each row; of a constant row the derivative is taken as zero."""

    def value(self, x):
        return x.std(-1)

    def back(self, grad, x, y):
        y = y[..., None]
        slope = self.centred(x) / np.where(self.safe(y), y, 1)
        return grad[..., None] * slope / x.shape[-1]

    def centred(self, x):
        return x - x.mean(-1, keepdims=True)

    def safe(self, y):
        return y > 0


class Variance(Along):
    """The unbiased variance of each row."""

    def value(self, x):
        return x.var(-1, ddof=1)

    def back(self, grad, x, y):
        return grad[..., None] * 2 * self.centred(x) / self.count(x)

    def centred(self, x):
        return x - x.mean(-1, keepdims=True)

    def count(self, x):
        return x.shape[-1] - 1


class RawVariance(Along):
    """The mean of squares minus the square of the mean, which cancel."""

    def value(self, x):
        return (x * x).mean(-1) - x.mean(-1) ** 2

    def back(self, grad, x, y):
        return grad[..., None] * 2 * (x - x.mean(-1, keepdims=True)) / x.shape[-1]


class L1Normalise(Along):
    """x / (1 + sum |x|)."""

    def value(self, x):
        return x / (1 + np.abs(x).sum(-1, keepdims=True))

    def back(self, grad, x, y):
        total = 1 + np.abs(x).sum(-1, keepdims=True)
        return (grad - self.sign(x) * (grad * y).sum(-1, keepdims=True)) / total

    def sign(self, x):
        return np.sign(x)


_STEADY = normal(3, 5, scale=1e-4, shift=3.0)
BASES = (
    *((make, (_X,)) for make in (Softmax, LogSumExp, LogSoftmax, Sparsemax, Sort, TopK)),
    *((make, (_X,)) for make in (Cumsum, Cumprod, Cummax, Std, Variance, L1Normalise)),
    (Median, ((3, 6),)),
    *((make, (_TIES,)) for make in (Sort, TopK, Cummax)),
    *((make, (_STEADY,)) for make in (Std, Variance, RawVariance)),
)


@planted(_X, cause="2 times|factor|twice")
class SoftmaxTemperature(Softmax):
    """The temperature is forgotten in the gradient."""

    def back(self, grad, x, y):
        return 2 * super().back(grad, x, y)


@planted(normal(3, 5, scale=200.0), cause=NOT_FINITE + "|float32")
class SoftmaxNaive(Softmax):
    """The maximum is not subtracted, which is NaN in float32."""

    def shifted(self, x):
        return x


@planted(_X, cause=NOT_FINITE + "|float32")
class SoftmaxNaiveUnseen(SoftmaxNaive):
    """The maximum is not subtracted; the random inputs are small."""


@planted(_X, cause=FLOAT32)
class SoftmaxFloat32(Softmax):
    """In float32 the gradient is halved."""

    def back(self, grad, x, y):
        found = super().back(grad, x, y)
        return found / 2 if found.dtype == np.float32 else found


@planted((4, 4), cause="axis|axes")
class SoftmaxOtherAxis(Softmax):
    """The sum runs over the batch."""

    def back(self, grad, x, y):
        return y * (grad - (y * grad).sum(0)) / 2


@planted(_X, cause="eps|constant|factor|sum|term|1e-05|multiple of the output")
class SoftmaxEps(Softmax):
    """1e-5 is added to the probabilities in the gradient."""

    def back(self, grad, x, y):
        return super().back(grad, x, y + 1e-5)


@planted(_X, cause=NOT_FINITE)
class LogSumExpOverflows(LogSumExp):
    """The gradient divides exponentials that overflow."""

    def back(self, grad, x, y):
        return grad[..., None] * np.exp(x) / np.exp(y)[..., None]


@planted(_X, cause=NOT_FINITE)
class LogSoftmaxDivides(LogSoftmax):
    """The gradient is divided by probabilities that may be zero."""

    def back(self, grad, x, y):
        p = np.exp(y)
        grad = grad / p
        return p * (grad - (p * grad).sum(-1, keepdims=True))


@planted(_X, cause=COUPLING + "|support|where|zero|term|factor")
class SparsemaxSupport(Sparsemax):
    """The mean runs over the whole row instead of the support."""

    def support(self, kept):
        return np.float32(kept.shape[-1])


@planted(normal(3, 5), cause=_ORDER)
class SortInverse(Sort):
    """The gradient is sorted instead of put back."""

    def back(self, grad, x, y):
        return np.take_along_axis(grad, np.argsort(x, -1, kind="stable"), -1)


@planted(_X, cause=_ORDER)
class SortNotPutBack(Sort):
    """The gradient stays where the sorted numbers are."""

    def back(self, grad, x, y):
        return grad.copy()


@planted(_TIES, cause=r"\btie|equal|tied|same value|share|kink")
class SortTies(Sort):
    """Equal numbers all get the gradient of the first of them."""

    def back(self, grad, x, y):
        first = (y[..., None, :] >= x[..., None]).argmax(-1)
        return np.take_along_axis(grad, first, -1)


@planted(_X, cause=_ORDER + "|column|rows? 0")
class TopKFirstColumns(TopK):
    """The gradient goes to the first two columns."""

    def places(self, x):
        return np.argsort(np.zeros_like(x), -1, kind="stable")[..., :2]


@planted(normal(3, 5), cause=_ORDER + "|swap|exchang")
class TopKAscending(TopK):
    """The gradients of the largest and the second are swapped."""

    def places(self, x):
        return super().places(x)[..., ::-1]


@planted(_TIES, cause=r"\btie|equal|tied|same value|share|kink")
class TopKTies(TopK):
    """Everything that equals the largest number gets its whole gradient."""

    def back(self, grad, x, y):
        first = x == y[..., :1]
        return first * grad[..., :1] + ~first * (x == y[..., 1:]) * grad[..., 1:]


@planted((3, 6), cause="zero|half|middle|1/2|place")
class MedianOfOne(Median):
    """The lower of the two middle numbers gets the whole gradient."""

    def parts(self, grad):
        return np.stack([grad, 0 * grad], -1)


@planted(_X, cause="revers|direction|forward|flip|order|transpos|cumul")
class CumsumForward(Cumsum):
    """The gradient is summed from the front."""

    def back(self, grad, x, y):
        return grad.cumsum(-1)


@planted(_X, cause=_SHIFT + "|upstream|term")
class CumsumExclusive(Cumsum):
    """Each element's own output is left out."""

    def back(self, grad, x, y):
        return super().back(grad, x, y) - grad


@planted((4, 4), cause="axis|axes")
class CumsumOverBatch(Cumsum):
    """The gradient is cumulated over the batch."""

    def back(self, grad, x, y):
        return grad[::-1].cumsum(0)[::-1]


@planted(_X, cause=NOT_FINITE + "|zero")
class CumprodDivides(Cumprod):
    """The product without an element is made by division, NaN at zero."""

    def back(self, grad, x, y):
        return (grad * y)[..., ::-1].cumsum(-1)[..., ::-1] / x


@planted(np.array([[1.5, 0.0, -2.0, 0.5], [0.7, 2.0, 1.0, -1.0]]), cause=NOT_FINITE + "|zero")
class CumprodDividesByZero(CumprodDivides):
    """The product without an element is made by division, and there is a zero."""


@planted(_X, cause="zero|where")
class CumprodDividesSafely(Cumprod):
    """Where an element is zero, its gradient is taken as zero."""

    def back(self, grad, x, y):
        total = (grad * y)[..., ::-1].cumsum(-1)[..., ::-1]
        return np.where(x == 0, 0, total / np.where(x == 0, 1, x))


@planted(_X, cause=r"where|zero|\bown\b|sum|accumul|earlier|term")
class CummaxOwnPlace(Cummax):
    """An output that repeats the largest so far gives its gradient to nobody."""

    def back(self, grad, x, y):
        return grad * (x == y)


@planted(normal(3, 5), cause="repeat|twice|add.at|sum|accumul|term|earlier|overwrit")
class CummaxRepeats(Cummax):
    """Of several outputs with one winner, one counts."""

    def add(self, dx, rows, place, grad):
        dx[rows, place] = grad


@planted(_X, cause=COUPLING + "|constant along")
class StdUncentred(Std):
    """The mean is not subtracted in the gradient."""

    def centred(self, x):
        return x


@planted(_X, cause=NOT_FINITE + "|zero|constant row|equal")
class StdOfConstant(Std):
    """For a constant row the gradient is NaN."""

    def safe(self, y):
        return np.ones_like(y, bool)


@planted(_X, cause="4/5|factor")
class VarianceBiased(Variance):
    """The gradient is that of the biased variance."""

    def count(self, x):
        return x.shape[-1]


@planted(_X, cause=COUPLING + "|where|sign|negative")
class L1NormaliseSign(L1Normalise):
    """The sign is missing in the sum's term."""

    def sign(self, x):
        return np.ones_like(x)


@planted(_X, cause=COUPLING)
class L1NormaliseConstant(L1Normalise):
    """The sum is taken as a constant."""

    def sign(self, x):
        return np.zeros_like(x)
