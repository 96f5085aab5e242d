"""Planted bugs in pooling: maxima, means, adaptive windows, whole maps, and their opposites."""

import numpy as np

import npnet
from zoo.mutants import NOT_FINITE, lacks, normal, planted

_X = (2, 3, 8)
_IMAGE = (2, 2, 4, 6)
_TIES = np.array([[[1.0, 1.0, 0.5, 2.0, 2.0, 2.0, -1.0, 0.0]]])
_TIE = r"\btie|equal|tied|maxim|share|same value"
_SHIFT = "shift|off by one|by one|moved|roll|neighbour|offset|order"


class MaxPool(npnet.Layer):
    """The largest of `size` neighbours on the last axis, every `stride`; ties to the first."""

    size, stride = 2, 2

    def forward(self, ctx, x):
        windows = np.lib.stride_tricks.sliding_window_view(x, self.size, -1)[..., :: self.stride, :]
        winner = windows.argmax(-1)
        ctx.save(windows, winner)
        ctx.shape = x.shape
        return np.take_along_axis(windows, winner[..., None], -1)[..., 0]

    def backward(self, ctx, grad):
        windows, winner = ctx.saved
        dx = np.zeros(ctx.shape, grad.dtype)
        share = self.share(windows, winner, grad)
        for k in range(self.size):
            end = k + (grad.shape[-1] - 1) * self.stride + 1
            self.add(dx, slice(k, end, self.stride), share[..., k])
        return dx

    def share(self, windows, winner, grad):
        return (winner[..., None] == np.arange(self.size)) * grad[..., None]

    def add(self, dx, places, part):
        dx[..., places] += part


class Overlapping(MaxPool):
    size, stride = 3, 1


class AvgPool(npnet.Layer):
    """The mean of two neighbours on the last axis."""

    def forward(self, ctx, x):
        return x.reshape(*x.shape[:-1], x.shape[-1] // 2, 2).mean(-1)

    def backward(self, ctx, grad):
        return self.spread(grad)

    def spread(self, grad):
        return np.repeat(grad / 2, 2, -1)


class PaddedMean(npnet.Layer):
    """The mean of three neighbours, of two at the ends."""

    def forward(self, ctx, x):
        return self.three(x) / self.counts(x)

    def backward(self, ctx, grad):
        return self.three(grad / self.gradient_counts(grad))

    def three(self, x):
        pad = np.pad(x, [(0, 0)] * (x.ndim - 1) + [(1, 1)])
        return pad[..., :-2] + pad[..., 1:-1] + pad[..., 2:]

    def counts(self, x):
        return self.three(np.ones_like(x))

    def gradient_counts(self, x):
        return self.counts(x)


class GlobalMean(npnet.Layer):
    """The mean of each map: (n, c, h, w) -> (n, c)."""

    def forward(self, ctx, x):
        ctx.shape = x.shape
        return x.mean((2, 3))

    def backward(self, ctx, grad):
        return np.broadcast_to(self.one(grad, ctx.shape)[..., None, None], ctx.shape)

    def one(self, grad, shape):
        return grad / (shape[2] * shape[3])


class GlobalMax(npnet.Layer):
    """The largest number of each map, ties to the first."""

    def forward(self, ctx, x):
        flat = x.reshape(*x.shape[:2], x.shape[2] * x.shape[3])
        winner = flat.argmax(-1)[..., None]
        ctx.save(flat, winner)
        ctx.shape = x.shape
        return np.take_along_axis(flat, winner, -1)[..., 0]

    def backward(self, ctx, grad):
        dx = np.zeros((*ctx.shape[:2], ctx.shape[2] * ctx.shape[3]), grad.dtype)
        self.put(dx, *ctx.saved, grad)
        return dx.reshape(ctx.shape)

    def put(self, dx, flat, winner, grad):
        np.put_along_axis(dx, winner, grad[..., None], -1)


class AdaptiveMean(npnet.Layer):
    """Means of three windows that cover an axis of any length."""

    def forward(self, ctx, x):
        ctx.shape = x.shape
        return np.stack([x[..., w].mean(-1) for w in self.windows(x.shape[-1])], -1)

    def windows(self, n):
        return [slice(i * n // 3, -(-(i + 1) * n // 3)) for i in range(3)]

    def backward(self, ctx, grad):
        dx = np.zeros(ctx.shape, grad.dtype)
        for i, w in enumerate(self.backward_windows(dx.shape[-1])):
            self.add(dx, w, grad[..., i, None] / (w.stop - w.start))
        return dx

    def backward_windows(self, n):
        return self.windows(n)

    def add(self, dx, w, part):
        dx[..., w] += part


class LogSumExpPool(npnet.Layer):
    """log(sum(exp(x))) over the last axis."""

    def forward(self, ctx, x):
        top = x.max(-1, keepdims=True)
        e = np.exp(x - top)
        ctx.save(x, e / e.sum(-1, keepdims=True))
        return np.log(e.sum(-1)) + top[..., 0]

    def backward(self, ctx, grad):
        x, p = ctx.saved
        return grad[..., None] * self.weights(x, p)

    def weights(self, x, p):
        return p


class Upsample(npnet.Layer):
    """Each pixel twice in both directions."""

    def forward(self, ctx, x):
        return x.repeat(2, 2).repeat(2, 3)

    def backward(self, ctx, grad):
        n, c, h, w = grad.shape
        return self.back(grad.reshape(n, c, h // 2, 2, w // 2, 2))

    def back(self, blocks):
        return blocks.sum((3, 5))


class PixelShuffle(npnet.Layer):
    """(n, 4, h, w) -> (n, 1, 2h, 2w)."""

    def forward(self, ctx, x):
        n, _, h, w = x.shape
        return x.reshape(n, 2, 2, h, w).transpose(0, 3, 1, 4, 2).reshape(n, 1, 2 * h, 2 * w)

    def backward(self, ctx, grad):
        n, _, h, w = grad.shape
        blocks = grad.reshape(n, h // 2, 2, w // 2, 2)
        return self.sorted(blocks).reshape(n, 4, h // 2, w // 2)

    def sorted(self, blocks):
        return blocks.transpose(0, 2, 4, 1, 3)


BASES = (
    *((make, (_X,)) for make in (MaxPool, Overlapping, AvgPool, PaddedMean, AdaptiveMean)),
    (LogSumExpPool, (_X,)),
    *((make, (_IMAGE,)) for make in (GlobalMean, GlobalMax, Upsample)),
    (PixelShuffle, ((2, 4, 2, 3),)),
    *((make, (_TIES,)) for make in (MaxPool, Overlapping)),
    (GlobalMax, (np.ones((2, 2, 2, 2)),)),
)


@planted(_TIES, cause=_TIE)
class MaxPoolTies(MaxPool):
    """Every tied element gets the whole gradient."""

    def share(self, windows, winner, grad):
        return (windows == windows.max(-1, keepdims=True)) * grad[..., None]


@planted(_X, cause=_TIE)
class MaxPoolTiesUnseen(MaxPoolTies):
    """Every tied element gets the whole gradient; the random inputs have no ties."""


@planted(_TIES, cause=_TIE + "|zero")
class MaxPoolTiesNobody(MaxPool):
    """Of tied elements none gets a gradient."""

    def share(self, windows, winner, grad):
        best = windows == windows.max(-1, keepdims=True)
        return best * (best.sum(-1, keepdims=True) == 1) * grad[..., None]


@planted(_X, cause=lacks("window|sum|term") + "|overlap|overwrit|assign|add")
class MaxPoolOverlap(Overlapping):
    """Where windows overlap, the last one overwrites the others."""

    def add(self, dx, places, part):
        dx[..., places] = part


@planted(_X, cause=_SHIFT)
class MaxPoolShifted(MaxPool):
    """The neighbour of the winner gets the gradient."""

    def share(self, windows, winner, grad):
        return super().share(windows, (winner + 1) % 2, grad)


@planted(_X, cause="where|condition|average|zero|winner|largest")
class MaxPoolAsMean(MaxPool):
    """The gradient is spread over the window as a mean's."""

    def share(self, windows, winner, grad):
        return np.repeat(grad[..., None] / self.size, self.size, -1)


@planted(_X, cause="2 times|twice|factor|division", misleading="batch size")
class AvgPoolForgetsSize(AvgPool):
    """The gradient is not divided by the size of the window."""

    def spread(self, grad):
        return np.repeat(grad, 2, -1)


@planted(_X, cause="order|tile|repeat|permut")
class AvgPoolTiled(AvgPool):
    """The gradient is tiled instead of repeated."""

    def spread(self, grad):
        return np.tile(grad / 2, 2)


@planted(_X, cause="zero|every other|half of|alternat")
class AvgPoolFirstOnly(AvgPool):
    """The first of two neighbours gets the gradient of both."""

    def spread(self, grad):
        return np.stack([grad, 0 * grad], -1).reshape(*grad.shape[:-1], 2 * grad.shape[-1])


@planted(_X, cause=r"rows? 0, 1|first|last|edge|end|index 0|border")
class PaddedMeanCounts(PaddedMean):
    """At the ends the gradient is divided by three as well."""

    def gradient_counts(self, x):
        return np.full_like(x, 3)


@planted(_IMAGE, cause="24 times|factor|division")
class GlobalMeanForgetsSize(GlobalMean):
    """The gradient is not divided by the size of the map."""

    def one(self, grad, shape):
        return grad


@planted(_IMAGE, cause="6 times|factor|division|4 times")
class GlobalMeanHeightAlone(GlobalMean):
    """The gradient is divided by the height alone."""

    def one(self, grad, shape):
        return grad / shape[2]


@planted(normal(2, 2, 4, 6), cause="zero|where|everywhere|winner|largest|summed along axis 2")
class GlobalMaxEverywhere(GlobalMax):
    """Every element gets the gradient of the largest."""

    def put(self, dx, flat, winner, grad):
        dx[...] = grad[..., None]


@planted(np.ones((2, 2, 2, 2)), cause=_TIE)
class GlobalMaxTies(GlobalMax):
    """Every tied element gets the whole gradient."""

    def put(self, dx, flat, winner, grad):
        dx[...] = (flat == flat.max(-1, keepdims=True)) * grad[..., None]


@planted(_IMAGE, cause="order|transpos|axes|swap|permut|place")
class GlobalMaxTransposed(GlobalMax):
    """The winner's place is read in the order of the transposed map."""

    def backward(self, ctx, grad):
        n, c, h, w = ctx.shape
        return super().backward(ctx, grad).reshape(n, c, w, h).swapaxes(2, 3).copy()


@planted(_X, cause="rows? [25]|overlap|window|index")
class AdaptiveMeanWindows(AdaptiveMean):
    """The windows of the backward pass do not overlap."""

    def backward_windows(self, n):
        return [slice(i * n // 3, (i + 1) * n // 3) for i in range(3)]


@planted(normal(2, 3, 8), cause="rows? [25]|overlap|overwrit|index")
class AdaptiveMeanOverlap(AdaptiveMean):
    """Where windows overlap, the last one overwrites the others."""

    def add(self, dx, w, part):
        dx[..., w] = part


@planted(_X, cause=NOT_FINITE)
class LogSumExpPoolOverflows(LogSumExpPool):
    """The gradient does not subtract the maximum and is NaN at 1000."""

    def weights(self, x, p):
        return np.exp(x) / np.exp(x).sum(-1, keepdims=True)


@planted(_X, cause=lacks("sum|norm|factor") + "|per row|axis")
class LogSumExpPoolSum(LogSumExpPool):
    """The gradient is not normalised."""

    def weights(self, x, p):
        return np.exp(x - x.max(-1, keepdims=True))


@planted(_IMAGE, cause=lacks("sum|copies|repeat") + "|summed|first")
class UpsampleFirst(Upsample):
    """The gradient is that of the first of four copies."""

    def back(self, blocks):
        return blocks[:, :, :, 0, :, 0].copy()


@planted(_IMAGE, cause="1/4|averag|mean", misleading="length of axis")
class UpsampleMean(Upsample):
    """The gradient is the mean of the four copies."""

    def back(self, blocks):
        return blocks.mean((3, 5))


@planted((2, 4, 2, 3), cause="order|transpos|permut|swap|axes")
class PixelShuffleOrder(PixelShuffle):
    """The two parts of the channel are swapped."""

    def sorted(self, blocks):
        return blocks.transpose(0, 4, 2, 1, 3)
