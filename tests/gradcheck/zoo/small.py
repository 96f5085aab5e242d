"""Two honest layers to derive bugs from: one without and one with a parameter."""

import numpy as np

import npnet


class Square(npnet.Layer):
    def forward(self, ctx, x):
        ctx.save(x)
        return x * x

    def backward(self, ctx, grad):
        (x,) = ctx.saved
        return 2 * grad * x


class Scale(npnet.Layer):
    def __init__(self):
        super().__init__()
        self.gain = npnet.Parameter(np.array([0.5, -1.5, 2.0, 3.0]))

    def forward(self, ctx, x):
        ctx.save(x)
        return x * self.gain.data

    def backward(self, ctx, grad):
        (x,) = ctx.saved
        ctx.add_grad(self.gain, (grad * x).sum(0))
        return grad * self.gain.data
