"""Planted bugs in tables, gathering and scattering."""

import numpy as np

import npnet
from zoo.mutants import FLOAT32, lacks, normal, planted

_INDEX = np.array([[0, 5, 0], [2, 2, 1]])
_SHIFT = "shift|off by one|by one|moved|roll|neighbour"
_REPEATS = "repeat|twice|duplicate|double|same index|add.at|occurs|more than once"


class Embedding(npnet.Layer):
    """2 * table[index] + position: (n, t) -> (n, t, 3); index 3 is padding and gives zeros."""

    takes_integers = True

    def __init__(self):
        super().__init__()
        rng = np.random.default_rng(4)
        self.weight = npnet.Parameter(rng.normal(size=(6, 3)))
        self.position = npnet.Parameter(rng.normal(size=(3, 3)))

    def forward(self, ctx, index):
        ctx.save(index)
        rows = self.weight.data[index] * 2
        return rows * (index != 3)[..., None] + self.position.data

    def backward(self, ctx, grad):
        (index,) = ctx.saved
        table = np.zeros_like(self.weight.data)
        self.add(table, index, self.scaled(self.kept(grad, index)))
        ctx.add_grad(self.weight, table)
        ctx.add_grad(self.position, self.dposition(grad))

    def kept(self, grad, index):
        return grad * (index != 3)[..., None]

    def scaled(self, grad):
        return 2 * grad

    def add(self, table, index, grad):
        np.add.at(table, index, grad)

    def dposition(self, grad):
        return grad.sum(0)


class Bag(npnet.Layer):
    """The weighted mean of rows: index (n, t), weights (n, t) -> (n, 3)."""

    takes_integers = (True, False)

    def __init__(self):
        super().__init__()
        self.weight = npnet.Parameter(np.random.default_rng(4).normal(size=(6, 3)))

    def forward(self, ctx, index, factor):
        ctx.save(index, factor)
        return (self.weight.data[index] * factor[..., None]).mean(1)

    def backward(self, ctx, grad):
        index, factor = ctx.saved
        each = self.each(grad, index)
        table = np.zeros_like(self.weight.data)
        np.add.at(table, index, self.row(each, factor))
        ctx.add_grad(self.weight, table)
        return None, self.dfactor(each, index)

    def each(self, grad, index):
        return (grad / index.shape[1])[:, None]

    def row(self, each, factor):
        return each * factor[..., None]

    def dfactor(self, each, index):
        return (each * self.weight.data[index]).sum(-1)


class Gather(npnet.Layer):
    """x[n, index[n, j]] of a batch of vectors."""

    takes_integers = (False, True)

    def forward(self, ctx, x, index):
        ctx.save(index)
        ctx.shape = x.shape
        return np.take_along_axis(x, index, 1)

    def backward(self, ctx, grad):
        (index,) = ctx.saved
        dx = np.zeros(ctx.shape, grad.dtype)
        self.add(dx, np.arange(len(dx))[:, None], index, grad)
        return dx, None

    def add(self, dx, rows, index, grad):
        np.add.at(dx, (rows, index), grad)


class Scatter(npnet.Layer):
    """Five numbers of each sample are summed into three bins."""

    bins = (2, 0, 2, 1, 0)

    def forward(self, ctx, x):
        y = np.zeros((len(x), 3), x.dtype)
        np.add.at(y, (slice(None), list(self.bins)), x)
        return y

    def backward(self, ctx, grad):
        return grad[:, self.back()]

    def back(self):
        return list(self.bins)


class Differences(npnet.Layer):
    """x_{t+1} - x_t along axis 1."""

    def forward(self, ctx, x):
        return x[:, 1:] - x[:, :-1]

    def backward(self, ctx, grad):
        left, right = ((0, 0), (1, 0)), ((0, 0), (0, 1))
        return self.joined(np.pad(grad, left), np.pad(grad, right))

    def joined(self, after, before):
        return after - before


class Roll(npnet.Layer):
    """Rolled by one along axis 1, times a parameter for each place."""

    def __init__(self):
        super().__init__()
        self.gain = npnet.Parameter(np.array([0.5, -1.5, 2.0, 3.0]))

    def forward(self, ctx, x):
        moved = np.roll(x, 1, 1)
        ctx.save(x, moved)
        return moved * self.gain.data

    def backward(self, ctx, grad):
        x, moved = ctx.saved
        ctx.add_grad(self.gain, self.dgain(grad, x, moved))
        return np.roll(grad * self.gain.data, self.back(), 1)

    def dgain(self, grad, x, moved):
        return (grad * moved).sum(0)

    def back(self):
        return -1


class Fill(npnet.Layer):
    """Where a mask is set, a learned number replaces x."""

    takes_integers = (False, True)

    def __init__(self):
        super().__init__()
        self.fill = npnet.Parameter(np.array(0.7))

    def forward(self, ctx, x, mask):
        ctx.save(mask)
        return np.where(mask, self.fill.data, x)

    def backward(self, ctx, grad):
        (mask,) = ctx.saved
        ctx.add_grad(self.fill, self.dfill(grad, mask))
        return self.dx(grad, mask), None

    def dfill(self, grad, mask):
        return (grad * mask).sum()

    def dx(self, grad, mask):
        return grad * ~mask


_BAG = (_INDEX, normal(2, 3))
_GATHER = (normal(3, 4), np.array([[0, 0, 3], [1, 2, 1], [3, 0, 2]]))
_MASK = (normal(3, 4), normal(3, 4) > 0.3)
BASES = (
    (Embedding, (_INDEX,)),
    (Bag, _BAG),
    (Gather, _GATHER),
    (Scatter, ((3, 5),)),
    (Differences, ((3, 5),)),
    (Roll, ((3, 4),)),
    (Fill, _MASK),
)


@planted(_INDEX, cause=_REPEATS)
class EmbeddingRepeats(Embedding):
    """Of an index that occurs twice one occurrence counts."""

    def add(self, table, index, grad):
        table[index] += grad


@planted(_INDEX, cause=_SHIFT + "|order")
class EmbeddingOffByOne(Embedding):
    """The gradient lands one row too far."""

    def add(self, table, index, grad):
        np.add.at(table, (index + 1) % 6, grad)


@planted(_INDEX, cause="1/2|factor", misleading="batch size")
class EmbeddingScaleForgotten(Embedding):
    """The factor 2 is forgotten."""

    def scaled(self, grad):
        return grad


@planted(np.array([[0, 3, 0], [3, 2, 1]]), cause="row 3|rows 3|zero|index 3|\\[3")
class EmbeddingPadding(Embedding):
    """The padding's row gets a gradient."""

    def kept(self, grad, index):
        return grad


@planted(_INDEX, cause="batch|sample|summed")
class EmbeddingPositionOfFirst(Embedding):
    """The positions get the gradient of the first sample."""

    def dposition(self, grad):
        return grad[:1].sum(0)


@planted(_INDEX, cause="flip|revers|order")
class EmbeddingPositionReversed(Embedding):
    """The positions' gradient runs backwards."""

    def dposition(self, grad):
        return grad.sum(0)[::-1]


@planted(np.array([[0, 1, 4], [2, 5, 1]]), cause=FLOAT32)
class EmbeddingFloat32(Embedding):
    """In float32 the gradient is off by a factor of 0.999."""

    def scaled(self, grad):
        return grad * grad.dtype.type(1.998 if grad.dtype == np.float32 else 2)


@planted(_INDEX, cause="writes|chang|unchanged|mutat|parameter|inference|repeat")
class EmbeddingRenormalises(Embedding):
    """Forward scales the rows that it uses in the table itself."""

    def forward(self, ctx, index):
        norm = np.sqrt((self.weight.data[index] ** 2).sum(-1, keepdims=True))
        self.weight.data[index] *= np.where(norm > 1, 0.9, 1)
        return super().forward(ctx, index)


@planted(*_BAG, cause="3 times|division|factor|length|mean")
class BagSum(Bag):
    """The gradient is that of a sum."""

    def each(self, grad, index):
        return grad[:, None]


@planted(*_BAG, cause=lacks("factor|input 1|weights") + "|factor")
class BagIgnoresWeights(Bag):
    """The rows' gradient lacks the weights."""

    def row(self, each, factor):
        return np.broadcast_to(each, (*factor.shape, each.shape[-1]))


@planted(*_BAG, cause="zero")
class BagWeightsForgotten(Bag):
    """The weights get no gradient."""

    def dfactor(self, each, index):
        return np.zeros(index.shape, each.dtype)


@planted(*_GATHER, cause=_REPEATS)
class GatherRepeats(Gather):
    """Of an index that occurs twice one occurrence counts."""

    def add(self, dx, rows, index, grad):
        dx[rows, index] = grad


@planted(normal(3, 5), np.array([[4, 2, 3], [2, 4, 0], [3, 0, 2]]), cause=_SHIFT + "|order")
class GatherOffByOne(Gather):
    """The gradient lands one place too far."""

    def add(self, dx, rows, index, grad):
        np.add.at(dx, (rows, index - 1), grad)


@planted((3, 5), cause="order|permut|sort|place")
class ScatterSorted(Scatter):
    """The bins are taken in sorted order."""

    def back(self):
        return sorted(self.bins)


@planted((3, 5), cause="shift|sign|minus|flip|pad|order|by one")
class DifferencesSwapped(Differences):
    """The paddings of the two terms are swapped."""

    def joined(self, after, before):
        return before - after


@planted(normal(3, 5), cause=lacks("term|path|shift") + "|term|shift")
class DifferencesOneTerm(Differences):
    """The term of the earlier element is missing."""

    def joined(self, after, before):
        return after


@planted((3, 4), cause="shift|roll|by one|by two|moved|order")
class RollWrongWay(Roll):
    """The gradient is rolled the same way again."""

    def back(self):
        return 1


@planted((3, 4), cause="shift|roll|by one|moved|order")
class RollGainUnmoved(Roll):
    """The gain's gradient takes the input as it was before rolling."""

    def dgain(self, grad, x, moved):
        return (grad * x).sum(0)


@planted(*_MASK, cause="mask|input 1|where")
class FillIgnoresMask(Fill):
    """The input's gradient ignores the mask."""

    def dx(self, grad, mask):
        return grad.copy()


@planted(*_MASK, cause="mask|input 1|where|sum of the upstream")
class FillTakesEverything(Fill):
    """The fill's gradient ignores the mask."""

    def dfill(self, grad, mask):
        return grad.sum()
