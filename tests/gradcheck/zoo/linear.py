"""Planted bugs in Linear."""

import copy

import numpy as np

import npnet
from zoo.mutants import normal, planted

_X = (5, 4)


class Base(npnet.Linear):
    """A plain Linear(4, 3) whose pieces the mutants replace."""

    out = 3

    def __init__(self):
        super().__init__(4, self.out, rng=1)

    def forward(self, ctx, x):
        ctx.save(x)
        return x @ self.weight.data.T + self.bias.data

    def backward(self, ctx, grad):
        (x,) = ctx.saved
        ctx.add_grad(self.weight, self.dweight(grad, x))
        ctx.add_grad(self.bias, self.dbias(grad))
        return self.dx(grad)

    def dweight(self, grad, x):
        return grad.T @ x

    def dbias(self, grad):
        return grad.sum(0)

    def dx(self, grad):
        return grad @ self.weight.data


class Square(Base):
    out = 4


@planted(_X, says="factor")
class WeightTwiceAsLarge(Base):
    """The weight's gradient is twice what it should be."""

    def dweight(self, grad, x):
        return 2 * grad.T @ x


@planted(_X, says="factor")
class WeightAveraged(Base):
    """The weight's gradient is divided by the batch size."""

    def dweight(self, grad, x):
        return grad.T @ x / len(x)


@planted(_X, says="factor")
class BiasTimesBatch(Base):
    """The bias's gradient is multiplied by the batch size."""

    def dbias(self, grad):
        return grad.sum(0) * len(grad)


@planted(_X, says="factor")
class BiasAveraged(Base):
    """The bias's gradient is a mean over the batch."""

    def dbias(self, grad):
        return grad.mean(0)


@planted(_X, says="factor")
class BiasSign(Base):
    """The bias's gradient has the wrong sign."""

    def dbias(self, grad):
        return -grad.sum(0)


@planted(_X, says="factor")
class InputSign(Base):
    """The input's gradient has the wrong sign."""

    def dx(self, grad):
        return -(grad @ self.weight.data)


@planted(_X, says="transposed")
class WeightTransposed(Square):
    """The square weight's gradient is transposed."""

    def dweight(self, grad, x):
        return x.T @ grad


@planted(_X, says="transposed")
class InputTransposed(Square):
    """The input's gradient uses the transposed square weight."""

    def dx(self, grad):
        return grad @ self.weight.data.T


@planted(_X, says="not summed")
class BiasOfFirstRow(Base):
    """The bias's gradient is that of the first sample."""

    def dbias(self, grad):
        return grad[0].copy()


@planted(_X, says="not summed")
class WeightOfFirstRow(Base):
    """The weight's gradient is that of the first sample."""

    def dweight(self, grad, x):
        return np.outer(grad[0], x[0])


@planted(_X, says="not summed")
class WeightOfLastRow(Base):
    """The weight's gradient is that of the last sample."""

    def dweight(self, grad, x):
        return np.outer(grad[-1], x[-1])


@planted(_X)
class WeightWithoutLastRow(Base):
    """The last sample does not count for the weight's gradient."""

    def dweight(self, grad, x):
        return grad[:-1].T @ x[:-1]


@planted(_X, says="elements")
class WeightElementOff(Base):
    """One element of the weight's gradient is off by 0.1 %."""

    def dweight(self, grad, x):
        found = grad.T @ x
        found[1, 2] *= 1.001
        return found


@planted(_X, says="elements")
class InputElementOff(Base):
    """One element of the input's gradient is off by 0.1 %."""

    def dx(self, grad):
        found = grad @ self.weight.data
        found[-1, -1] *= 0.999
        return found


@planted(_X, says="rows")
class InputRowOff(Base):
    """The input's gradient is off by 0.1 % for one sample."""

    def dx(self, grad):
        found = grad @ self.weight.data
        found[min(2, len(found) - 1) :][:1] *= 1.001
        return found


@planted(_X, says="rows")
class InputOfFirstRow(Base):
    """Only the first sample gets a gradient."""

    def dx(self, grad):
        found = np.zeros((len(grad), 4), grad.dtype)
        found[:1] = grad[:1] @ self.weight.data
        return found


@planted(_X, says="rows")
class WeightColumnZero(Base):
    """One input feature never gets a weight gradient."""

    def dweight(self, grad, x):
        found = grad.T @ x
        found[:, 1] = 0
        return found


@planted(_X, says="zero")
class BiasForgotten(Base):
    """The bias never gets a gradient."""

    def backward(self, ctx, grad):
        (x,) = ctx.saved
        ctx.add_grad(self.weight, grad.T @ x)
        return grad @ self.weight.data


@planted(_X, says="zero")
class InputZero(Base):
    """The input's gradient is zero."""

    def dx(self, grad):
        return np.zeros((len(grad), 4), grad.dtype)


@planted(_X, says=("overwritten", "gradients accumulate"))
class Overwritten(Base):
    """Gradients are set instead of added."""

    def backward(self, ctx, grad):
        (x,) = ctx.saved
        self.weight.grad = grad.T @ x
        self.bias.grad = grad.sum(0)
        return self.dx(grad)


@planted(_X, says=("overwritten", "gradients accumulate"))
class BiasOverwritten(Base):
    """The bias's gradient is set instead of added."""

    def backward(self, ctx, grad):
        (x,) = ctx.saved
        ctx.add_grad(self.weight, grad.T @ x)
        self.bias.zero_grad()
        ctx.add_grad(self.bias, grad.sum(0))
        return self.dx(grad)


@planted(_X, says=("stale state", "no state on self", "calls do not disturb each other"))
class InputOnSelf(Base):
    """The input is kept on self."""

    def __init__(self):
        super().__init__()
        self.x = None

    def forward(self, ctx, x):
        self.x = x
        return super().forward(ctx, x)

    def backward(self, ctx, grad):
        ctx.add_grad(self.weight, grad.T @ self.x)
        ctx.add_grad(self.bias, grad.sum(0))
        return self.dx(grad)


@planted(_X, says=("stale state", "no state on self", "calls do not disturb each other"))
class InputOnClass(Base):
    """The input is kept on the class."""

    x = np.zeros(0)

    def forward(self, ctx, x):
        InputOnClass.x = x.copy()
        return super().forward(ctx, x)

    def backward(self, ctx, grad):
        ctx.add_grad(self.weight, grad.T @ InputOnClass.x)
        ctx.add_grad(self.bias, grad.sum(0))
        return self.dx(grad)


@planted(_X, says=("stale state", "calls do not disturb each other"))
class InputInList(Base):
    """Inputs are kept in a list on self, first in, first out."""

    def __init__(self):
        super().__init__()
        self.queue = []

    def forward(self, ctx, x):
        if ctx.recording:
            self.queue.append(x)
        return super().forward(ctx, x)

    def backward(self, ctx, grad):
        ctx.add_grad(self.weight, grad.T @ self.queue.pop(0))
        ctx.add_grad(self.bias, grad.sum(0))
        return self.dx(grad)


@planted(_X, says=("mutation", "input unchanged"))
class InputDoubled(Base):
    """Forward doubles the input in place."""

    def forward(self, ctx, x):
        x *= 2
        return super().forward(ctx, x)

    def dx(self, grad):
        return 2 * grad @ self.weight.data


@planted(_X, says=("mutation", "input unchanged"))
class InputCleared(Base):
    """Backward clears the saved input."""

    def backward(self, ctx, grad):
        dx = super().backward(ctx, grad)
        ctx.saved[0][...] = 0
        return dx


@planted(_X, says=("mutation", "upstream gradient unchanged"))
class UpstreamScaled(Base):
    """Backward scales the upstream gradient in place."""

    def backward(self, ctx, grad):
        n = 2
        grad /= n
        (x,) = ctx.saved
        ctx.add_grad(self.weight, n * grad.T @ x)
        ctx.add_grad(self.bias, n * grad.sum(0))
        return n * self.dx(grad)


@planted(_X, says=("mutation", "parameters unchanged"))
class WeightNormalised(Base):
    """Forward rescales the weight in place."""

    def forward(self, ctx, x):
        self.weight.data /= np.linalg.norm(self.weight.data)
        return super().forward(ctx, x)


@planted(_X, says=("mutation", "parameters unchanged"))
class StepsBySelf(Base):
    """Backward takes a step of gradient descent."""

    def backward(self, ctx, grad):
        dx = super().backward(ctx, grad)
        self.bias.data -= 0.01 * self.bias.grad
        return dx


@planted(_X, says="buffers unchanged")
class CountsInference(Base):
    """A running mean moves in inference as well."""

    def __init__(self):
        super().__init__()
        self.mean = npnet.Buffer(np.zeros(4))

    def forward(self, ctx, x):
        self.mean = 0.9 * self.mean + 0.1 * x.sum(0)
        return super().forward(ctx, x)


@planted(_X, says="gradients not shared")
class AdoptsUpstream(npnet.Identity):
    """The upstream gradient itself becomes the parameter's."""

    def __init__(self):
        super().__init__()
        self.shift = npnet.Parameter(np.zeros(_X))

    def forward(self, ctx, x):
        return x + self.shift.data

    def backward(self, ctx, grad):
        if self.shift.grad is None:
            self.shift._grad = grad
        else:
            ctx.add_grad(self.shift, grad)
        return grad


@planted(_X, says=("float32", "precision"))
class BackwardInFloat32(Base):
    """Backward computes the weight's gradient in float32."""

    def dweight(self, grad, x):
        return (grad.astype(np.float32).T @ x.astype(np.float32)).astype(grad.dtype)


@planted(_X, says=("float32", "precision"))
class ForwardInFloat32(Base):
    """Forward computes in float32."""

    def forward(self, ctx, x):
        return super().forward(ctx, x).astype(np.float32).astype(x.dtype)


@planted(_X, says="shapes and dtypes")
class AlwaysFloat64(Base):
    """The output is float64 whatever comes in."""

    def forward(self, ctx, x):
        return super().forward(ctx, x).astype(np.float64)


@planted(_X, says="shapes and dtypes")
class GradientFloat64(Base):
    """The input's gradient is float64 whatever comes in."""

    def dx(self, grad):
        return grad @ self.weight.data.astype(np.float64)


@planted(_X, says=("output not reused", "stale state", "mutation"))
class OneBuffer(Base):
    """All calls write into one output array."""

    def __init__(self):
        super().__init__()
        self.buffers = {}

    def forward(self, ctx, x):
        ctx.save(x)
        key = len(x), x.dtype
        out = self.buffers.setdefault(key, np.empty((len(x), 3), x.dtype))
        np.matmul(x, self.weight.data.T, out=out)
        out += self.bias.data
        return out


@planted((5, 4), says=("swapped",))
class ShiftAndScaleSwapped(Square):
    """The gradients of two parameters are exchanged."""

    def __init__(self):
        super().__init__()
        self.scale = npnet.Parameter(np.linspace(0.5, 1.5, 4))

    def forward(self, ctx, x):
        product = x @ self.weight.data.T
        ctx.save(x, product)
        return product * self.scale.data + self.bias.data

    def backward(self, ctx, grad):
        x, product = ctx.saved
        ctx.add_grad(self.bias, (grad * product).sum(0))
        ctx.add_grad(self.scale, grad.sum(0))
        grad = grad * self.scale.data
        ctx.add_grad(self.weight, grad.T @ x)
        return grad @ self.weight.data


@planted(_X)
class ForgetsGainOfOne(Square):
    """A gain that starts at one is forgotten in the input's gradient."""

    def __init__(self):
        super().__init__()
        self.gain = npnet.Parameter(np.ones(4))

    def forward(self, ctx, x):
        y = super().forward(ctx, x)
        ctx.save(x, y)
        return y * self.gain.data

    def backward(self, ctx, grad):
        x, y = ctx.saved
        ctx.add_grad(self.gain, (grad * y).sum(0))
        ctx.add_grad(self.weight, (grad * self.gain.data).T @ x)
        ctx.add_grad(self.bias, (grad * self.gain.data).sum(0))
        return self.dx(grad)


@planted(_X, says="swapped")
class TwinsSwapped(npnet.Identity):
    """The gradients of two parameters that start alike are exchanged."""

    def __init__(self):
        super().__init__()
        self.a = npnet.Parameter(np.ones(4))
        self.b = npnet.Parameter(np.ones(4))

    def forward(self, ctx, x):
        ctx.save(x)
        return np.tanh(self.a.data * x) + self.b.data * x

    def backward(self, ctx, grad):
        (x,) = ctx.saved
        slope = 1 - np.tanh(self.a.data * x) ** 2
        ctx.add_grad(self.b, (grad * slope * x).sum(0))
        ctx.add_grad(self.a, (grad * x).sum(0))
        return grad * (slope * self.a.data + self.b.data)


@planted(_X, says="recorded equals inference")
class InferenceDiffers(Base):
    """Inference leaves the bias out."""

    def forward(self, ctx, x):
        y = super().forward(ctx, x)
        return y if ctx.recording else y - self.bias.data


@planted(_X, says="recorded equals inference")
class EvaluationDiffers(Base):
    """Evaluation mode halves the output."""

    def forward(self, ctx, x):
        y = super().forward(ctx, x)
        return y if ctx.training else y / 2


@planted(_X, says="parameter gradients without input gradient")
class BiasOnlyWithInput(Base):
    """The bias gets a gradient only where the input's is wanted."""

    def backward(self, ctx, grad):
        (x,) = ctx.saved
        ctx.add_grad(self.weight, grad.T @ x)
        if not ctx.needs_input_grad:
            return None
        ctx.add_grad(self.bias, grad.sum(0))
        return self.dx(grad)


@planted(_X, says="parameter gradients without input gradient")
class GarbageWithoutInput(Base):
    """Without the input's gradient the weight's is garbage."""

    def dweight(self, grad, x):
        return grad.T @ x

    def backward(self, ctx, grad):
        if not ctx.needs_input_grad:
            grad = grad + 1
        return super().backward(ctx, grad)


@planted(_X, says="batch of one")
class SqueezesOneSample(Base):
    """A batch of one loses its batch axis."""

    def forward(self, ctx, x):
        y = super().forward(ctx, x)
        return y[0] if len(y) == 1 else y

    def backward(self, ctx, grad):
        return super().backward(ctx, np.atleast_2d(grad))


@planted(_X, says=("empty batch",))
class FailsOnNothing(Base):
    """An empty batch raises."""

    def forward(self, ctx, x):
        if np.abs(x).max() > 1e30:
            x = np.clip(x, -1e30, 1e30)
        return super().forward(ctx, x)


@planted(_X, says=("batch independence",))
class CentresTheBatch(Base):
    """The output has the batch's mean taken away, with the right gradient."""

    def forward(self, ctx, x):
        y = super().forward(ctx, x)
        return y - y.mean(0) if len(y) else y

    def backward(self, ctx, grad):
        return super().backward(ctx, grad - grad.mean(0) if len(grad) else grad)


@planted(_X, says=("batch sizes", "stale state", "calls do not disturb each other"))
class FirstBatchSize(Base):
    """The batch size of the first call is kept for all others."""

    def __init__(self):
        super().__init__()
        self.n = None

    def forward(self, ctx, x):
        if self.n is None:
            self.n = len(x)
        return super().forward(ctx, x)

    def dbias(self, grad):
        return np.ones(self.n, grad.dtype) @ grad


@planted(_X, says="state dict")
class HiddenWeight(Base):
    """A random matrix that is neither a parameter nor a buffer."""

    def __init__(self):
        super().__init__()
        self.mixing = np.random.default_rng().normal(size=(4, 4))

    def forward(self, ctx, x):
        return super().forward(ctx, x @ self.mixing.astype(x.dtype))

    def dx(self, grad):
        return grad @ self.weight.data @ self.mixing.T.astype(grad.dtype)


@planted(_X, says="deep copy")
class SharesItsCopies(Base):
    """A deep copy shares the parameters."""

    def __deepcopy__(self, memo):
        return copy.copy(self)


@planted(_X, says="gradients accumulate")
class BypassesTheStore(Base):
    """The gradient is put where no optimizer looks."""

    def backward(self, ctx, grad):
        (x,) = ctx.saved
        old = self.weight._grad
        self.weight._grad = grad.T @ x if old is None else old + grad.T @ x
        ctx.add_grad(self.bias, grad.sum(0))
        return self.dx(grad)


@planted(_X, says="memory layout")
class ReadsMemoryOrder(Base):
    """The input is read in the order of memory."""

    def forward(self, ctx, x):
        return super().forward(ctx, x.ravel(order="K").reshape(x.shape))


_kept = []


@planted(_X, says="nothing kept alive")
class KeepsInputs(Base):
    """Every input is kept in a global list."""

    def forward(self, ctx, x):
        _kept.append(x)
        return super().forward(ctx, x)


@planted(_X, says=("upstream ignored",))
class IgnoresUpstream(Base):
    """The upstream gradient is taken as ones."""

    def backward(self, ctx, grad):
        return super().backward(ctx, np.ones_like(grad))


@planted(_X, says="linear backward")
class ClipsUpstream(Base):
    """The upstream gradient is clipped."""

    def backward(self, ctx, grad):
        return super().backward(ctx, np.clip(grad, -1, 1))


@planted(_X, says=("missing factor", "missing term"))
class PowerForgotten(Base):
    """The features are squared, and the derivative of the square is forgotten."""

    def forward(self, ctx, x):
        return super().forward(ctx, x * x)


@planted(normal(5, 4), says=("raised", "calls"))
class ReturnsNothing(Base):
    """Forward has no return statement."""

    def forward(self, ctx, x):
        ctx.save(x @ self.weight.data.T)


@planted(_X, says=("raised", "calls"))
class ReturnsObjects(Base):
    """Forward returns an array of objects."""

    def forward(self, ctx, x):
        return super().forward(ctx, x).astype(object)


@planted(_X, says=("raised", "calls"))
class ReturnsNan(Base):
    """Forward divides 0 by 0."""

    def forward(self, ctx, x):
        y = super().forward(ctx, x)
        return (y - y) / (y - y)


@planted(_X, says=("raised", "calls"))
class Misspelt(Base):
    """Backward uses an attribute that is not there."""

    def dx(self, grad):
        return grad @ self.weigth.data


@planted(_X, says=("raised", "calls", "non-deterministic"))
class Grows(Base):
    """Every call returns one column more."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def forward(self, ctx, x):
        self.count += 1
        return np.repeat(super().forward(ctx, x), self.count, axis=1)


@planted(_X, says=("raised", "calls", "shapes and dtypes"))
class InputGradientTransposed(Base):
    """The input's gradient has its axes exchanged."""

    def dx(self, grad):
        return (grad @ self.weight.data).T


@planted(_X, says=("raised", "calls"))
class TwoGradients(Base):
    """Backward returns two gradients for one input."""

    def dx(self, grad):
        return grad @ self.weight.data, grad


class Table(npnet.Layer):
    """Rows of a matrix."""

    takes_integers = True

    def __init__(self):
        super().__init__()
        self.weight = npnet.Parameter(normal(6, 3))

    def forward(self, ctx, index):
        ctx.save(index)
        return self.weight.data[index]

    def backward(self, ctx, grad):
        (index,) = ctx.saved
        table = np.zeros_like(self.weight.data)
        self.add(table, index, grad)
        ctx.add_grad(self.weight, table)

    def add(self, table, index, grad):
        np.add.at(table, index, grad)


@planted(np.array([0, 5, 2, 3]), says=("rows", "not summed"))
class TableForgetsRepeats(Table):
    """Of an index that occurs twice, one gradient is lost."""

    def add(self, table, index, grad):
        table[index] += grad


@planted(_X, says=("batch sizes", "stale state"))
class LastShapeOnSelf(Base):
    """The shape of the last call is kept on self."""

    def __init__(self):
        super().__init__()
        self.shape = None

    def forward(self, ctx, x):
        self.shape = x.shape
        return super().forward(ctx, x)

    def backward(self, ctx, grad):
        return super().backward(ctx, grad.reshape(self.shape[0], 3))


@planted(_X, says=("upstream gradient unchanged",))
class ClearsUpstreamInTraining(Base):
    """Where nobody wants the input's gradient, the upstream gradient is cleared."""

    def backward(self, ctx, grad):
        dx = super().backward(ctx, grad)
        if not ctx.needs_input_grad:
            grad[...] = 0
        return dx


@planted(_X, says=("no state on self",))
class GradientStatistics(Base):
    """Backward keeps the mean of the gradient on self."""

    def __init__(self):
        super().__init__()
        self.seen = 0.0

    def backward(self, ctx, grad):
        self.seen = float(grad.mean())
        return super().backward(ctx, grad)


@planted(_X, says=("stale state", "calls do not disturb each other"))
class RemembersByShape(Base):
    """The output is computed once for each shape."""

    def __init__(self):
        super().__init__()
        self.known = {}

    def forward(self, ctx, x):
        key = x.shape, x.dtype
        y = super().forward(ctx, x)
        return self.known.setdefault(key, y).copy()
