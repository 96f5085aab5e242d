"""Planted bugs in convolutions: stride, padding, dilation, groups, two axes, transposed."""

import numpy as np

import npnet
from zoo.mutants import FLOAT32, lacks, normal, planted

_X = (2, 4, 8)
_IMAGE = (2, 2, 5, 6)
_SHIFT = "shift|off by one|by one|moved|padding|roll|offset"


class Conv1d(npnet.Layer):
    """(n, 4, length) -> (n, 4, new length), by a weight (out, in / groups, 3) and a bias."""

    stride, padding, dilation, groups = 1, 1, 1, 1

    def __init__(self):
        super().__init__()
        rng = np.random.default_rng(5)
        self.weight = npnet.Parameter(rng.normal(size=(4, 4 // self.groups, 3)))
        self.bias = npnet.Parameter(rng.normal(size=4))

    def forward(self, ctx, x):
        pad = np.pad(x, ((0, 0), (0, 0), (self.padding, self.padding)))
        n, _, length = pad.shape
        new = (length - 2 * self.dilation - 1) // self.stride + 1
        y = np.zeros((n, self.groups, 4 // self.groups, new), x.dtype)
        for k in range(3):
            y += np.einsum("ngil,goi->ngol", self.taken(self.split(pad), k, new), self.tap(k))
        ctx.save(pad)
        return y.reshape(n, 4, new) + self.bias.data[:, None]

    def backward(self, ctx, grad):
        (pad,) = ctx.saved
        new, length = grad.shape[2], pad.shape[2] - 2 * self.padding
        split, dpad = self.split(grad), np.zeros_like(self.split(pad))
        dweight = np.zeros((3, self.groups, 4 // self.groups, 4 // self.groups), grad.dtype)
        for k in range(3):
            dweight[k] = np.einsum("ngol,ngil->goi", split, self.seen(self.split(pad), k, new))
            self.spread(dpad, k, new, np.einsum("ngol,goi->ngil", split, self.back(k)))
        ctx.add_grad(self.weight, self.dweight(dweight).reshape(3, 4, -1).transpose(1, 2, 0))
        ctx.add_grad(self.bias, self.dbias(grad))
        return self.crop(dpad.reshape(pad.shape), length)

    def split(self, a):
        return a.reshape(len(a), self.groups, 4 // self.groups, a.shape[2])

    def tap(self, k):
        return self.weight.data[:, :, k].reshape(self.groups, 4 // self.groups, -1)

    def places(self, k, new):
        start = k * self.dilation
        return slice(start, start + (new - 1) * self.stride + 1, self.stride)

    def taken(self, pad, k, new):
        return pad[..., self.places(k, new)]

    # The pieces of the backward pass.
    def seen(self, pad, k, new):
        return self.taken(pad, k, new)

    def back(self, k):
        return self.tap(k)

    def spread(self, dpad, k, new, part):
        dpad[..., self.places(k, new)] += part

    def dweight(self, dweight):
        return dweight

    def dbias(self, grad):
        return grad.sum((0, 2))

    def crop(self, dpad, length):
        return dpad[..., self.padding : self.padding + length]


class Strided(Conv1d):
    stride = 2


class Dilated(Conv1d):
    dilation, padding = 2, 2


class Grouped(Conv1d):
    groups = 2


class Causal(Conv1d):
    """An output sees its own input and the two before."""

    padding = 2

    def forward(self, ctx, x):
        y = super().forward(ctx, x)
        return y[..., : x.shape[2]].copy()

    def backward(self, ctx, grad):
        return super().backward(ctx, self.widened(grad))

    def widened(self, grad):
        return np.pad(grad, ((0, 0), (0, 0), (0, 2)))


class Conv2d(npnet.Layer):
    """(n, 2, height, width) -> (n, 3, ...), by 3 x 3 windows with padding 1 and stride 2."""

    stride = 2

    def __init__(self):
        super().__init__()
        rng = np.random.default_rng(6)
        self.weight = npnet.Parameter(rng.normal(size=(3, 2, 3, 3)))
        self.bias = npnet.Parameter(rng.normal(size=3))

    def forward(self, ctx, x):
        pad = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
        windows = np.lib.stride_tricks.sliding_window_view(pad, (3, 3), (2, 3))
        ctx.save(windows[:, :, :: self.stride, :: self.stride])
        ctx.shape = pad.shape
        w = self.weight.data
        y = np.einsum("ncijhw,ochw->noij", windows[:, :, :: self.stride, :: self.stride], w)
        return y + self.bias.data[:, None, None]

    def backward(self, ctx, grad):
        (windows,) = ctx.saved
        ctx.add_grad(self.weight, self.dweight(np.einsum("ncijhw,noij->ochw", windows, grad)))
        ctx.add_grad(self.bias, self.dbias(grad))
        dpad = np.zeros(ctx.shape, grad.dtype)
        (rows, columns), s = grad.shape[2:], self.stride
        for h in range(3):
            for w in range(3):
                part = np.einsum("noij,oc->ncij", grad, self.back(h, w))
                dpad[:, :, h : h + s * rows : s, w : w + s * columns : s] += part
        return self.crop(dpad)

    def dweight(self, dweight):
        return dweight

    def dbias(self, grad):
        return grad.sum((0, 2, 3))

    def back(self, h, w):
        return self.weight.data[:, :, h, w]

    def crop(self, dpad):
        return dpad[:, :, 1:-1, 1:-1]


class ConvTranspose1d(npnet.Layer):
    """(n, 3, length) -> (n, 3, 2 length), by a weight (in, out, 4), stride 2 and padding 1."""

    def __init__(self):
        super().__init__()
        self.weight = npnet.Parameter(np.random.default_rng(7).normal(size=(3, 3, 4)))

    def forward(self, ctx, x):
        y = np.zeros((len(x), 3, 2 * x.shape[2] + 2), x.dtype)
        for k in range(4):
            part = np.einsum("nil,io->nol", x, self.weight.data[:, :, k])
            y[:, :, k : k + 2 * x.shape[2] : 2] += part
        ctx.save(x)
        return y[:, :, 1:-1].copy()

    def backward(self, ctx, grad):
        (x,) = ctx.saved
        pad, length = self.padded(grad), 2 * x.shape[2]
        dx, dweight = np.zeros_like(x), np.zeros_like(self.weight.data)
        for k in range(4):
            part = pad[:, :, k : k + length : 2]
            dweight[:, :, k] = np.einsum("nil,nol->io", x, part)
            dx += part.swapaxes(1, 2).dot(self.back(k).T).swapaxes(1, 2)
        ctx.add_grad(self.weight, self.dweight(dweight))
        return dx

    def padded(self, grad):
        return np.pad(grad, ((0, 0), (0, 0), (1, 1)))

    def back(self, k):
        return self.weight.data[:, :, k]

    def dweight(self, dweight):
        return dweight


BASES = (
    *((make, (_X,)) for make in (Conv1d, Strided, Dilated, Grouped, Causal)),
    (Conv2d, (_IMAGE,)),
    (ConvTranspose1d, ((2, 3, 4),)),
)


@planted(_X, cause="flip|revers|mirror|rotat")
class Conv1dFlipped(Conv1d):
    """The input's gradient uses the flipped kernel."""

    def back(self, k):
        return self.tap(2 - k)


@planted(_X, cause=_SHIFT)
class Conv1dPadding(Conv1d):
    """The padding's offset is forgotten: the input's gradient is shifted by one."""

    def crop(self, dpad, length):
        return dpad[..., :length]


@planted(_X, cause=lacks("sum|position") + "|summed|first|position")
class Conv1dBiasOfFirst(Conv1d):
    """The bias's gradient is that of the first position."""

    def dbias(self, grad):
        return grad[..., 0].sum(0)


@planted(_X, cause="1/8|averag|mean")
class Conv1dBiasAveraged(Conv1d):
    """The bias's gradient is a mean over the positions."""

    def dbias(self, grad):
        return grad.mean(2).sum(0)


@planted(_X, cause="transpos|axes|swapp")
class Conv1dChannelsTransposed(Conv1d):
    """The input's gradient uses the weight with its channels transposed."""

    def back(self, k):
        return self.tap(k).swapaxes(1, 2)


@planted(normal(2, 4, 8), cause="transpos|axes|swapp")
class Conv1dWeightTransposed(Conv1d):
    """The weight's gradient has its channels transposed."""

    def dweight(self, dweight):
        return dweight.swapaxes(2, 3)


@planted(_X, cause=_SHIFT)
class Conv1dWeightShifted(Conv1d):
    """The weight's gradient is shifted by one along the kernel."""

    def dweight(self, dweight):
        return np.roll(dweight, 1, 0)


@planted(_X, cause="flip|revers|mirror|rotat")
class Conv1dWeightFlipped(Conv1d):
    """The weight's gradient is flipped along the kernel."""

    def dweight(self, dweight):
        return dweight[::-1]


@planted(_X, cause=lacks("window|overlap|tap|sum|term") + "|overlap|overwrit|assign|add|=")
class Conv1dOverlap(Conv1d):
    """Where windows overlap, the last one overwrites the others."""

    def spread(self, dpad, k, new, part):
        dpad[..., self.places(k, new)] = part


@planted(_X, cause=lacks("tap|part|slice|term|path|window") + r"|rows? 2|index 2")
class Conv1dTwoTaps(Conv1d):
    """The last tap of the kernel does not reach the input's gradient."""

    def spread(self, dpad, k, new, part):
        if k < 2:
            super().spread(dpad, k, new, part)


@planted(_X, cause="stride|shift|order|position|axis 2|moved|places")
class Conv1dStrideForgotten(Strided):
    """The input's gradient is spread without the stride."""

    def spread(self, dpad, k, new, part):
        dpad[..., k : k + new] += part


@planted(_X, cause="dilat|shift|by one|tap|axis 2|rows? 1|index 1")
class Conv1dDilationForgotten(Dilated):
    """The weight's gradient sees the input without the dilation."""

    def seen(self, pad, k, new):
        return pad[..., k : k + new]


@planted(normal(2, 4, 8), cause="group|swap|exchang|order|block")
class Conv1dGroupsSwapped(Grouped):
    """The input's gradient uses the other group's weight."""

    def back(self, k):
        return self.tap(k)[::-1]


@planted(_X, cause="group|zero|rows?")
class Conv1dFirstGroup(Grouped):
    """Only the first group's weight gets a gradient."""

    def dweight(self, dweight):
        return dweight * (np.arange(2) < 1)[:, None, None]


@planted(_X, cause=_SHIFT)
class CausalShifted(Causal):
    """The upstream gradient is padded by one on the left and one on the right."""

    def widened(self, grad):
        return np.pad(grad, ((0, 0), (0, 0), (1, 1)))


@planted(_X, cause=FLOAT32)
class Conv1dFloat32(Conv1d):
    """In float32 the weight's gradient is halved."""

    def dweight(self, dweight):
        return dweight * (dweight.dtype.type(0.5) if dweight.dtype == np.float32 else 1)


@planted(_IMAGE, cause="transpos|axes|swapp")
class Conv2dHeightWidth(Conv2d):
    """The weight's gradient has height and width swapped."""

    def dweight(self, dweight):
        return dweight.swapaxes(2, 3)


@planted(_IMAGE, cause="flip|revers|mirror|rotat")
class Conv2dRotated(Conv2d):
    """The input's gradient uses the rotated kernel."""

    def back(self, h, w):
        return self.weight.data[:, :, 2 - h, 2 - w]


@planted(_IMAGE, cause=_SHIFT)
class Conv2dPadding(Conv2d):
    """The input's gradient is shifted by one column."""

    def crop(self, dpad):
        return dpad[:, :, 1:-1, :-2]


@planted(normal(*_IMAGE), cause=_SHIFT)
class Conv2dPaddingRows(Conv2d):
    """The input's gradient is shifted by one row."""

    def crop(self, dpad):
        return dpad[:, :, 2:, 1:-1]


@planted(_IMAGE, cause=r"batch|1/2|averag|mean")
class Conv2dBiasAveraged(Conv2d):
    """The bias's gradient is a mean over the batch."""

    def dbias(self, grad):
        return grad.mean(0).sum((1, 2))


@planted(_IMAGE, cause=lacks("sum|position|axis") + "|summed|row|axis")
class Conv2dBiasOfRow(Conv2d):
    """The bias's gradient is summed over the width, and of the height only the last row counts."""

    def dbias(self, grad):
        return grad[:, :, -1].sum((0, 2))


@planted((2, 3, 4), cause="flip|revers|mirror|rotat")
class ConvTransposeFlipped(ConvTranspose1d):
    """The input's gradient uses the flipped kernel."""

    def back(self, k):
        return self.weight.data[:, :, 3 - k]


@planted((2, 3, 4), cause=_SHIFT)
class ConvTransposePadding(ConvTranspose1d):
    """The padding that forward cuts off is put back on the right alone."""

    def padded(self, grad):
        return np.pad(grad, ((0, 0), (0, 0), (0, 2)))


@planted((2, 3, 4), cause="transpos|axes|swapp")
class ConvTransposeWeight(ConvTranspose1d):
    """The input's gradient uses the weight with its channels transposed."""

    def back(self, k):
        return self.weight.data[:, :, k].T
