"""Loops of the elementwise kernels."""

# mypy: allow-untyped-defs

from numba import float64

from npnet.ops.jit import loop


@loop(lambda t: (t[:, ::1],) * 2, any_shape=True)
def relu(x, out):
    if x.shape != out.shape:
        return False
    x, out = x.ravel(), out.ravel()
    for i in range(x.size):
        out[i] = x[i] if x[i] > 0 or x[i] != x[i] else 0
    return True


@loop(lambda t: (t[:, ::1],) * 3, any_shape=True)
def relu_grad(grad, y, out):
    if grad.shape != y.shape or y.shape != out.shape:
        return False
    grad, y, out = grad.ravel(), y.ravel(), out.ravel()
    for i in range(y.size):
        out[i] = 0 if y[i] <= 0 else grad[i]
    return True


@loop(lambda t: (t[:, ::1],) * 2)
def relu_grad_in_place(grad, y):
    if grad.shape != y.shape:
        return False
    grad, y = grad.ravel(), y.ravel()
    for i in range(y.size):
        y[i] = 0 if y[i] <= 0 else grad[i]
    return True


@loop(lambda t: (t[:, ::1], t[::1]))
def add_bias(y, bias):
    if bias.size != y.shape[1]:
        return False
    for i in range(y.shape[0]):
        for j in range(y.shape[1]):
            y[i, j] += bias[j]
    return True


@loop(lambda t: (t[:, ::1], t[::1]))
def add_bias_relu(y, bias):
    if bias.size != y.shape[1]:
        return False
    for i in range(y.shape[0]):
        for j in range(y.shape[1]):
            z = y[i, j] + bias[j]
            y[i, j] = z if z > 0 or z != z else 0
    return True


@loop(lambda t: (t[:, ::1], t[:, ::1], float64, float64, t[:, ::1]), any_shape=True)
def dropout(x, noise, p, scale, out):
    if x.shape != noise.shape or x.shape != out.shape:
        return False
    t = x.dtype.type
    p, scale = t(p), t(scale)
    x, noise, out = x.ravel(), noise.ravel(), out.ravel()
    for i in range(x.size):
        noise[i] = scale if noise[i] >= p else 0
        out[i] = x[i] * noise[i]
    return True
