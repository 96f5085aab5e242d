"""Loops of the recurrent steps.

The exponentials are written out, for in steps this small the calls of NumPy's cost more than what
they compute. A loop writes few arrays: LLVM vectorises none for which it would have to compare many
addresses.
"""

# mypy: allow-untyped-defs, allow-untyped-calls

import math
from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import boolean, extending, types
from numba.extending import overload, register_jitable

from npnet.ops.jit import loop

intrinsic: Any = extending.intrinsic  # whose types say nothing of what it makes


@intrinsic
def _two_to(typingctx, shifted):
    """Return 2^k of k + 1.5 * 2^m, a number whose last bits are those of the integer k."""
    bits, bias, m = (64, 1023, 52) if shifted == types.float64 else (32, 127, 23)

    def code(context, builder, signature, args):
        kind = ir.IntType(bits)
        k = builder.add(builder.bitcast(args[0], kind), ir.Constant(kind, bias))
        return builder.bitcast(builder.shl(k, ir.Constant(kind, m)), args[0].type)

    return shifted(shifted), code


@intrinsic
def _fma(typingctx, a, b, c):
    """Return a * b + c, in one instruction where the processor has it."""

    def code(context, builder, signature, args):
        kind = args[0].type
        fma = ir.FunctionType(kind, [kind] * 3)
        return builder.call(builder.module.declare_intrinsic("llvm.fmuladd", [kind], fma), args)

    return a(a, a, a), code


def _exp_parts(x):
    """Return s and p with exp(x) = s + s p: a power of 2, and p between -0.3 and 0.5."""


@overload(_exp_parts)
def _exp_parts_of(x):
    double = x == types.float64
    t = np.float64 if double else np.float32
    low, high = (t(-708), t(709)) if double else (t(-87), t(88))
    shift = t(1.5 * 2**52) if double else t(1.5 * 2**23)
    log2e, minus_ln2 = t(1 / math.log(2)), t(-0.693145751953125)  # whose last bits are 0
    rest = t(-1.42860682030941723212e-6)
    c2, c3, c4, c5, c6, c7, c8, c9, c10, c11, c12, c13 = (
        t(1 / math.factorial(n)) for n in range(2, 14)
    )

    def parts(x):
        z = low if x < low else x  # a NaN stays
        z = high if z > high else z
        shifted = _fma(z, log2e, shift)
        k = shifted - shift
        r = _fma(k, rest, _fma(k, minus_ln2, z))
        q = c7
        if double:
            q = _fma(_fma(_fma(_fma(_fma(_fma(c13, r, c12), r, c11), r, c10), r, c9), r, c8), r, c7)
        q = _fma(_fma(_fma(_fma(_fma(q, r, c6), r, c5), r, c4), r, c3), r, c2)
        return _two_to(shifted), _fma(r * r, q, r)

    return parts


@register_jitable
def _sigmoid(a):
    """Write 1 / (1 + exp(-a)) over a."""
    one = a.dtype.type(1)
    for j in range(a.size):
        s, p = _exp_parts(-a[j])
        a[j] = one / (one + _fma(s, p, s))


@register_jitable
def _tanh(a):
    """Write tanh(a) over a."""
    one, two = a.dtype.type(1), a.dtype.type(2)
    for j in range(a.size):
        s, p = _exp_parts(-two * abs(a[j]))
        e = _fma(s, p, s - one)  # exp(-2 |a|) - 1 without cancellation
        y = -e / (two + e)
        a[j] = y if a[j] >= 0 else -y


@register_jitable
def _add(a, b):
    for j in range(a.size):
        a[j] += b[j]


@loop(lambda t: (t[:, ::1], t[:, ::1], boolean, t[:, ::1]))
def rnn_step(gates, product, relu, h):
    if gates.shape != product.shape or gates.shape != h.shape:
        return False
    a, b, h = gates.ravel(), product.ravel(), h.ravel()
    for j in range(a.size):
        h[j] = a[j] + b[j]
    if relu:
        for j in range(a.size):
            h[j] = 0 if h[j] <= 0 else h[j]
    else:
        _tanh(h)
    return True


@loop(lambda t: (t[:, ::1], t[:, ::1], boolean, t[:, ::1], t[:, ::1]))
def rnn_step_grad(gates, h, relu, dy, dh):
    if not gates.shape == h.shape == dy.shape == dh.shape:
        return False
    one = gates.dtype.type(1)
    a, h, dy, dh = gates.ravel(), h.ravel(), dy.ravel(), dh.ravel()
    _add(dh, dy)
    if relu:
        for j in range(a.size):
            a[j] = 0 if h[j] <= 0 else dh[j]
    else:
        for j in range(a.size):
            a[j] = (one - h[j] * h[j]) * dh[j]
    return True


@loop(lambda t: (t[:, ::1],) * 5)
def lstm_step(gates, product, c, h_next, c_next):
    rows, n = c.shape
    if gates.shape != product.shape or gates.shape != (rows, 4 * n):
        return False
    if h_next.shape != c.shape or c_next.shape != c.shape:
        return False
    for row in range(rows):
        a, old, new, h = gates[row], c[row], c_next[row], h_next[row]
        i, f, g, o = a[:n], a[n : 2 * n], a[2 * n : 3 * n], a[3 * n :]
        _add(a, product[row])
        _sigmoid(a[: 2 * n])
        _tanh(g)
        _sigmoid(o)
        for j in range(n):
            new[j] = f[j] * old[j] + i[j] * g[j]
            h[j] = new[j]
        _tanh(h)
        for j in range(n):
            h[j] *= o[j]
    return True


@loop(lambda t: (t[:, ::1],) * 6)
def lstm_step_grad(gates, c, c_next, dy, dh, dc):
    rows, n = c.shape
    if gates.shape != (rows, 4 * n):
        return False
    if not c.shape == c_next.shape == dy.shape == dh.shape == dc.shape:
        return False
    one, t = gates.dtype.type(1), np.empty(n, gates.dtype)
    for row in range(rows):
        a, old, d, e = gates[row], c[row], dh[row], dc[row]
        i, f, g, o = a[:n], a[n : 2 * n], a[2 * n : 3 * n], a[3 * n :]
        _add(d, dy[row])
        t[:] = c_next[row]
        _tanh(t)
        for j in range(n):
            e[j] += (one - t[j] * t[j]) * o[j] * d[j]
            o[j] = d[j] * t[j] * ((one - o[j]) * o[j])
        for j in range(n):
            di = e[j] * g[j] * ((one - i[j]) * i[j])
            g[j] = e[j] * ((one - g[j] * g[j]) * i[j])
            i[j] = di
        for j in range(n):
            df = (one - f[j]) * f[j] * old[j] * e[j]
            e[j] *= f[j]
            f[j] = df
    return True


@loop(lambda t: (t[:, ::1],) * 4)
def gru_step(gates, product, h, h_next):
    rows, n = h.shape
    if gates.shape != (rows, 4 * n) or product.shape != (rows, 3 * n) or h_next.shape != h.shape:
        return False
    for row in range(rows):
        a, old, out = gates[row], h[row], h_next[row]
        new, r, z, m = a[:n], a[n : 2 * n], a[2 * n : 3 * n], a[3 * n :]
        _add(a[n:], product[row])
        _sigmoid(a[n : 3 * n])
        for j in range(n):
            new[j] += r[j] * m[j]
        _tanh(new)
        for j in range(n):
            out[j] = (old[j] - new[j]) * z[j] + new[j]
    return True


@loop(lambda t: (t[:, ::1],) * 4)
def gru_step_grad(gates, h, dy, dh):
    rows, n = h.shape
    if gates.shape != (rows, 4 * n) or dy.shape != h.shape or dh.shape != h.shape:
        return False
    one = gates.dtype.type(1)
    for row in range(rows):
        a, old, d = gates[row], h[row], dh[row]
        new, r, z, m = a[:n], a[n : 2 * n], a[2 * n : 3 * n], a[3 * n :]
        _add(d, dy[row])
        for j in range(n):
            k = one - z[j]
            dz = (old[j] - new[j]) * d[j] * (k * z[j])
            new[j] = d[j] * k * (one - new[j] * new[j])
            d[j] *= z[j]
            z[j] = dz
        for j in range(n):
            dr = (one - r[j]) * r[j] * m[j] * new[j]
            m[j] = new[j] * r[j]
            r[j] = dr
    return True
