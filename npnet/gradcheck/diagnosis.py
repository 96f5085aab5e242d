"""stub"""
from __future__ import annotations

from typing import NamedTuple

import numpy as np

from npnet.gradcheck.numeric import Function
from npnet.gradcheck.report import Diagnosis
from npnet.gradcheck.sampling import nudged
from npnet.gradcheck.subject import Subject
from npnet.gradcheck.verdict import Judged
from npnet.typing import Array


class Evidence(NamedTuple):
    variable: int
    indices: Array
    reach: float
    judged: Judged


class Point:
    def __init__(self, subject, reference, function, gradients, rng):
        self.subject = subject
        self.reference = reference
        self.function = function
        self.gradients = gradients
        self.rng = rng
        self.analytic = self._stack(gradients)

    def _stack(self, gradients):
        return [
            np.stack(
                [np.zeros(v.size) if g[i] is None else g[i].reshape(-1) for g in gradients], axis=1
            ).astype(np.float64)
            for i, v in enumerate(self.reference.variables)
        ]

    def wobble(self, share):
        kept = [v.copy() for v in self.reference.variables]
        upstream = self.function.upstream
        still = self._stack([self.reference.gradients(self.reference.split(r)) for r in upstream])
        moved = [np.zeros_like(a) for a in still]
        rng = np.random.default_rng(0)
        try:
            for _ in range(4):
                for v, k in zip(self.reference.variables, kept, strict=True):
                    v[...] = nudged(k, share, rng)
                gs = self._stack([
                    self.reference.gradients(self.reference.split(nudged(r, share, rng)))
                    for r in upstream
                ])
                for m, s, g in zip(moved, still, gs, strict=True):
                    np.maximum(m, np.nan_to_num(np.abs(g - s), nan=np.inf), out=m)
        finally:
            for v, k in zip(self.reference.variables, kept, strict=True):
                v[...] = k
        return moved


def diagnose(point, evidence):
    return []
