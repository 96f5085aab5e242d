"""check_gradients: compare a backward pass with differences of the forward pass."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np

from npnet.arguments import choice, flag, float_dtype, real_number, refusal, shown, whole_number
from npnet.errors import ArgumentError, ShapeError
from npnet.gradcheck.complexstep import ComplexStep
from npnet.gradcheck.conduct import check_conduct, check_loss_conduct, computes_in_float32
from npnet.gradcheck.diagnosis import diagnose
from npnet.gradcheck.hidden import excuse_hidden_kinks
from npnet.gradcheck.lines import DirectionLine, ElementLines, random_direction
from npnet.gradcheck.numeric import EPS, Function, reach_of
from npnet.gradcheck.point import Evidence, Point
from npnet.gradcheck.raised import describe
from npnet.gradcheck.report import Diagnosis, Report, TensorReport, Verdict, subject_of
from npnet.gradcheck.sampling import (
    detection_probability,
    nudged,
    sample,
    upstream_gradients,
)
from npnet.gradcheck.subject import BadResult, LayerSubject, LossSubject, Subject
from npnet.gradcheck.verdict import LIMIT, Allowance, Judged, assess, judge
from npnet.layer import Layer
from npnet.losses.loss import Loss
from npnet.random import as_generator
from npnet.typing import Array, ArrayLike, DtypeLike, Rng

MODES = ("full", "sample", "directional")
_EPS32 = float(np.finfo(np.float32).eps)
_UNDERFLOW32 = 1e-36
_CHANGING = ("stale state", "non-deterministic")
_CONFIRMED = 16  # elements of each tensor on which the complex step is tried


def check_gradients(
    layer: Layer | Loss,
    *inputs: ArrayLike,
    mode: str = "full",
    samples: int = 100,
    dtype: DtypeLike = np.float64,
    training: bool = True,
    rng: Rng = 0,
    allow_kinks: bool = True,
    max_noise: float = 0.05,
    complex_step: bool = True,
    raises: bool = True,
) -> Report:
    r"""Check the gradients of a layer, container, model or loss with respect to everything.

    With fixed random upstream gradients r, backward must return the gradient of
    :math:`s = \sum_k r_k y_k` with respect to every floating input and every parameter. It is
    compared with differences of forward, whose error bars come from a sweep of steps; an element
    fails when the analytic value lies outside its bar. The check also runs passes twice, in
    other orders and without clearing gradients, and watches the arrays it hands out.

    Everything happens on a copy: the layer, its gradients and its generators stay as they are.

    Parameters
    ----------
    layer : Layer or Loss
    *inputs : array_like
        Of a layer, its inputs: floating arrays, or integer ones (indices), which are not
        differentiated. Of a loss, prediction, target and, if wanted, sample weights; only the
        prediction is differentiated.
    mode : {"full", "sample", "directional"}
        ``"full"`` looks at every element. ``"sample"`` looks at `samples` random elements of
        every tensor; the report says how probably that meets a fault. ``"directional"`` takes
        the derivative along one random direction in which all inputs and parameters move at
        once: the cost of some 30 passes whatever the size, and every faulty element shows. If it
        fails, the tensors are sampled to locate the fault.
    samples : int
        Elements of each tensor in a sample.
    dtype : dtype
        float64 checks the formulas. float32 checks what the layer computes in float32 against
        differences in float64, with the tolerance of float32.
    training : bool
        Whether the passes train (dropout drops, with the same mask in each pass).
    rng : numpy.random.Generator or int
        Draws upstream gradients, samples and directions. The default repeats itself.
    allow_kinks : bool
        Whether a valid subgradient at a kink passes.
    max_noise : float
        The share of a tensor's elements about which nothing can be said, because forward is too
        rough or not finite nearby, that still passes.
    complex_step : bool
        Whether to confirm the gradients by complex steps where forward takes complex numbers.
    raises : bool
        False returns a failing report instead of raising it.

    Returns
    -------
    Report

    Raises
    ------
    GradientMismatch
        An AssertionError with the report as its text, if something is wrong.
    ArgumentError
        If `layer` or an option is of the wrong kind, or an input is not finite.
    DtypeError
        If an input that should be differentiated holds integers or no real numbers.

    Examples
    --------
    >>> import numpy as np, npnet
    >>> from npnet.gradcheck import check_gradients
    >>> class Cube(npnet.Layer):
    ...     def forward(self, ctx, x):
    ...         ctx.save(x)
    ...         return x**3
    ...     def backward(self, ctx, grad):
    ...         (x,) = ctx.saved
    ...         return grad * 2 * x**2  # a bug
    >>> report = check_gradients(Cube(), np.array([0.5, 1.0, -2.0]), raises=False)
    >>> report.ok
    False
    >>> print(report.diagnosis[0])
    the gradient of input is 2/3 of the true one
    """
    __tracebackhide__ = True  # pytest then shows the report, not this code
    flags = {"training": training, "allow_kinks": allow_kinks}
    flags |= {"complex_step": complex_step, "raises": raises}
    _refuse(layer, mode, samples, dtype, max_noise, **flags)
    generator = as_generator(rng)
    report = Report(subject_of(layer), allow_kinks=allow_kinks, max_noise=max_noise)
    with np.errstate(all="ignore"):
        subject = _subject(layer, inputs, dtype, training)
        with contextlib.suppress(_Ended):  # the report says why
            _check(report, subject, mode, samples, generator, complex_step)
    if raises:
        report.raise_if_failed()
    return report


class _Ended(Exception):
    """Nothing more can be checked."""


def _refuse(
    layer: Any, mode: str, samples: int, dtype: DtypeLike, max_noise: float, **flags: bool
) -> None:
    if isinstance(layer, type) and issubclass(layer, Layer | Loss):
        raise ArgumentError(
            f"check_gradients expects a layer, got the class {layer.__name__}; "
            f"create one: {layer.__name__}(...)"
        )
    if not isinstance(layer, Layer | Loss):
        hint = "; call it first, or use check_layer, which does" if callable(layer) else ""
        raise ArgumentError(f"check_gradients expects a Layer or a Loss, got {shown(layer)}{hint}")
    choice("check_gradients", "mode", mode, MODES)
    whole_number("check_gradients", "samples", samples, 1)
    real_number("check_gradients", "max_noise", max_noise, 0, 1)
    if float_dtype("check_gradients", "dtype", dtype) not in (np.float32, np.float64):
        raise refusal("check_gradients", "dtype", "float32 or float64", dtype)
    for name, value in flags.items():
        flag("check_gradients", name, value)


def _subject(
    layer: Layer | Loss, inputs: tuple[ArrayLike, ...], dtype: DtypeLike, training: bool
) -> Subject:
    if isinstance(layer, Loss):
        return LossSubject(layer, inputs, dtype)
    if not inputs:
        raise ArgumentError(f"check_gradients needs an input for {type(layer).__name__}")
    return LayerSubject(layer, inputs, dtype, training)


def _check(
    report: Report,
    subject: Subject,
    mode: str,
    samples: int,
    rng: np.random.Generator,
    complex_step: bool,
) -> None:
    here = _first_outputs(report, subject)
    if isinstance(subject, LossSubject):
        upstream = np.ones((1, subject.size))
    else:
        upstream = upstream_gradients(subject.size, rng)
    upstream = upstream.astype(subject.dtype).astype(np.float64)
    gradients = _first_gradients(report, subject, upstream)
    if not _conduct(report, subject, upstream):
        raise _Ended
    single = subject.dtype == np.float32
    reference = subject.in_float64() if single else subject
    if single:
        reference.outputs()
    eps = EPS
    if not single and computes_in_float32(subject, here):
        eps = _EPS32
        message = "forward computes in float32 although everything it is given is float64"
        report.violate("dtype", message)
        report.diagnosis.append(Diagnosis("float32", "", message))
    point = Point(subject, reference, Function(reference, upstream, eps), gradients, rng)
    if single:
        allowances = _float32_allowances(point)
    else:
        allowances = [Allowance.none(a) for a in point.analytic]
    oracle = None
    if complex_step and isinstance(reference, LayerSubject):
        oracle = ComplexStep(point.function)
    try:
        if mode == "directional":
            _along_direction(report, point, allowances, oracle, samples)
        else:
            chosen = [
                np.arange(v.size) if mode == "full" else sample(v.size, samples, rng)
                for v in reference.variables
            ]
            _by_elements(report, point, allowances, oracle, dict(enumerate(chosen)))
        if report.ok and not single and not any(t.count(Verdict.KINK) for t in report.tensors):
            _with_other_parameters(report, point)
    except BadResult as error:
        report.violate("fixed shape", str(error))
        raise _Ended from None
    if reference.refusals:
        refusal = reference.refusals[-1]
        report.notes.append(
            "the layer raised at some of the points around this one, which were left out: "
            f"{type(refusal).__name__}: {refusal}"
        )


def _first_outputs(report: Report, subject: Subject) -> list[Array]:
    try:
        if isinstance(subject, LayerSubject):
            subject.look()
        here = subject.outputs()
        subject.outputs()
    except BadResult as error:
        raise _end(report, "output", str(error)) from None
    except Exception as error:
        raise _end(report, "forward", f"forward raised {describe(error)}", error) from None
    for i, y in enumerate(here):
        bad = np.argwhere(~np.isfinite(y))
        if len(bad):
            which = f"output {i}" if len(here) > 1 else "the output"
            index = [int(k) for k in bad[0]]
            message = (
                f"forward returned {y[tuple(bad[0])]} at {index} of {which} "
                f"({len(bad)} of {y.size} elements are not finite); "
                "a gradient can be checked where the output is finite"
            )
            raise _end(report, "finite output", message)
    return here


def _first_gradients(report: Report, subject: Subject, upstream: Array) -> list[list[Any]]:
    try:
        return [subject.gradients(subject.split(r)) for r in upstream]
    except BadResult as error:
        raise _end(report, "gradient", str(error)) from None
    except Exception as error:
        ended = _end(report, "backward", f"backward raised {describe(error)}", error)
        hint = _not_summed(subject, error)
        if hint:
            report.diagnosis[-1] = hint
        raise ended from None


def _conduct(report: Report, subject: Subject, upstream: Array) -> bool:
    try:
        if isinstance(subject, LayerSubject):
            return check_conduct(report, subject, [subject.split(r) for r in upstream])
        if isinstance(subject, LossSubject):
            return check_loss_conduct(report, subject)
    except BadResult as error:
        raise _end(report, "output", str(error)) from None
    except Exception as error:
        message = f"a second pass raised {describe(error)}"
        raise _end(report, "repeatable", message, error) from None
    return True


def _end(report: Report, rule: str, message: str, cause: Exception | None = None) -> _Ended:
    report.violate(rule, message)
    report.diagnosis.append(Diagnosis("raised", "", message))
    report.cause = cause
    return _Ended()


def _not_summed(subject: Subject, error: Exception) -> Diagnosis | None:
    """Recognise a parameter gradient that still has the batch axis."""
    if not isinstance(subject, LayerSubject) or not isinstance(error, ShapeError):
        return None
    for name, p in subject.parameters.items():
        for batch in {x.shape[:1] for x in subject.inputs}:
            if f"{p.shape}, got {batch + p.shape}" in str(error):
                message = (
                    f"the gradient of {name} is not summed over the batch: it has shape "
                    f"{batch + p.shape} instead of {p.shape}; use .sum(axis=0)"
                )
                return Diagnosis("not summed", name, message)
    return None


# --- the modes


def _by_elements(
    report: Report,
    point: Point,
    allowances: list[Allowance],
    oracle: ComplexStep | None,
    chosen: dict[int, Array],
) -> None:
    evidence: list[Evidence] = []
    confirmed = tried = 0
    for i, indices in chosen.items():
        variable = point.reference.variables[i]
        lines = ElementLines(variable, indices, reach_of(point.function, variable, point.rng))
        analytic, allowed = point.analytic[i][indices], allowances[i].only(indices)
        judged = assess(point.function, lines, analytic, allowed)
        if oracle is not None and indices.size:
            judged, *count = _confirm(oracle, i, indices, analytic, judged, allowed)
            confirmed, tried = confirmed + count[0], tried + count[1]
        judged = _look_again(point, i, indices, judged, allowed)
        judged = excuse_hidden_kinks(point, lines, judged, _of_elements(i, indices))
        evidence.append(Evidence(i, indices, lines, judged))
        report.tensors.append(
            TensorReport(
                point.reference.names[i], variable.shape, indices, judged.analytic,
                judged.numeric, judged.error, judged.verdicts,
            )
        )  # fmt: skip
        if indices.size < variable.size:
            faulty = max(1, variable.size // 20)
            probability = detection_probability(variable.size, indices.size, faulty)
            report.notes.append(
                f"{indices.size} of {variable.size} elements of {point.reference.names[i]} were "
                f"sampled; a fault in {faulty} of them would be met with probability "
                f"{probability:.3g}"
            )
    if confirmed:
        report.notes.append(f"complex steps confirm {confirmed} of {tried} elements tried")
    if report.failing:
        known = {d.tensor for d in report.diagnosis if d.kind in _CHANGING}
        report.diagnosis += diagnose(point, evidence, known)


def _of_elements(i: int, indices: Array) -> Callable[[list[Array]], Array]:
    return lambda gradients: gradients[i][indices]


def _look_again(
    point: Point, i: int, indices: Array, judged: Judged, allowance: Allowance
) -> Judged:
    """Widen the bars by the analytic values' own rounding, where only that can explain a miss."""
    wrong = judged.verdicts == Verdict.WRONG
    if not wrong.any():
        return judged
    analytic = point.analytic[i][indices]
    # What rounding in float32 costs is in the allowance already; this is about the formula.
    unit = 16 * EPS * point.unsaturated(i)[indices]
    wider = allowance._replace(absolute=allowance.absolute + unit)
    off = np.abs(judged.analytic - judged.numeric)
    close = off <= 1e-5 * (np.abs(judged.analytic) + judged.slopes.size.max(axis=1))
    close |= off <= 1e-9 * judged.slopes.grain.max(axis=1)
    if (wrong & close).any():
        moved = 8 * point.wobble(EPS)[i][indices]
        wider = wider._replace(observed=allowance.observed + moved)
    return judge(analytic, judged.slopes, wider)


def _confirm(
    oracle: ComplexStep,
    variable: int,
    indices: Array,
    analytic: Array,
    judged: Judged,
    allowance: Allowance,
) -> tuple[Judged, int, int]:
    """Let the complex step confirm some slopes, and decide where they are too rough.

    Returns also how many analytic values it confirms, and of how many it tried.
    """
    slopes, unclear = judged.slopes, np.flatnonzero(judged.verdicts == Verdict.NOISE)
    smooth = ~np.isfinite(slopes.lower).any(axis=1)
    clear = np.flatnonzero((judged.verdicts != Verdict.NOISE) & smooth)
    clear = clear[sample(clear.size, _CONFIRMED, np.random.default_rng(variable))]
    exact = oracle.slopes(variable, indices[clear])
    if exact is None:
        return judged, 0, 0
    off = np.abs(exact - slopes.value[clear])
    if not (off <= slopes.error[clear]).all():
        return judged, 0, 0
    if 0 < unclear.size <= clear.size:
        decided = oracle.slopes(variable, indices[unclear])
        if decided is not None:
            slopes.value[unclear] = decided
            slopes.error[unclear] = 1e-10 * np.abs(decided)
            slopes.size[unclear] = np.abs(decided)
            slopes.lower[unclear] = slopes.upper[unclear] = np.nan
            slopes.jumps[unclear] = False
            judged = judge(analytic, slopes, allowance)
    fine = 256 * EPS * (slopes.size + np.abs(analytic)) + allowance.total(slopes)
    agrees = (np.abs(exact - analytic[clear]) <= fine[clear]).all(axis=1)
    return judged, int(agrees.sum()), clear.size


def _along_direction(
    report: Report,
    point: Point,
    allowances: list[Allowance],
    oracle: ComplexStep | None,
    samples: int,
) -> None:
    variables = point.reference.variables
    directions = [
        random_direction(v, reach_of(point.function, v, point.rng), point.rng) for v in variables
    ]
    moves = [v.reshape(-1) for v in directions]
    analytic = _along(moves, point.analytic)
    allowed: Any = sum(np.abs(v) @ s.absolute for v, s in zip(moves, allowances, strict=True))
    # Every term of the sum is rounded, and so is every variable when it moves.
    allowed = allowed + EPS * sum(
        (np.abs(v) + np.abs(x.reshape(-1))) @ np.abs(a)
        for v, x, a in zip(moves, variables, point.analytic, strict=True)
    )
    line = DirectionLine(variables, directions)
    allowance = Allowance(
        np.reshape(allowed, (1, -1)),
        np.sum([np.abs(v) @ a.observed for v, a in zip(moves, allowances, strict=True)], 0)[None],
        np.sum([np.abs(v) @ np.abs(a) for v, a in zip(moves, point.analytic, strict=True)], 0),
    )
    judged = assess(point.function, line, analytic, allowance)
    off = np.abs(judged.analytic - judged.numeric)
    if judged.verdicts[0] == Verdict.WRONG and (off <= 1e-6 * allowance.largest).all():
        wobble = point.wobble(EPS)
        moved = np.sum([np.abs(v) @ w for v, w in zip(moves, wobble, strict=True)], 0)
        wider = allowance._replace(observed=allowance.observed + 8 * moved)
        judged = judge(analytic, judged.slopes, wider)
    judged = excuse_hidden_kinks(point, line, judged, lambda gradients: _along(moves, gradients))
    along = TensorReport(
        "everything along one direction", (), np.zeros(1, int), judged.analytic,
        judged.numeric, judged.error, judged.verdicts,
    )  # fmt: skip
    total = sum(v.size for v in variables)
    rough = judged.verdicts[0] == Verdict.NOISE
    if not rough:
        report.tensors.append(along)
        if report.ok:
            report.notes.append(f"all {total} elements were moved at once")
            return
    count = samples if rough else min(samples, 32)
    chosen = {i: sample(v.size, count, point.rng) for i, v in enumerate(variables)}
    _by_elements(report, point, allowances, oracle, chosen)
    located = any(t is not along for t in report.failing)
    if not located and (rough or sum(c.size for c in chosen.values()) == total):
        report.tensors = [t for t in report.tensors if t is not along]
        report.notes.append("along one direction the function is too rough; elements were checked")
        return
    if not report.diagnosis:
        text = "a derivative along a random direction is wrong; mode='full' finds the elements"
        report.diagnosis.append(Diagnosis("unknown", "", text))


def _along(moves: list[Array], gradients: list[Array]) -> Array:
    """Return the slopes along one direction, shape (1, k)."""
    return np.array([sum(v @ a for v, a in zip(moves, gradients, strict=True))])


def _with_other_parameters(report: Report, point: Point) -> None:
    """Look whether gradients follow when the parameters move, as an optimizer moves them."""
    subject = point.reference
    if not isinstance(subject, LayerSubject) or not subject.parameters:
        return
    with subject.restored():
        for p in subject.parameters.values():
            p.data[...] = nudged(p.data, 0.1, point.rng)
        gradients = point.here()
        if gradients is None:
            return
        moved = [v.copy() for v in subject.variables]
        directions = [random_direction(v, 1.0, point.rng) for v in subject.variables]
        moves = [v.reshape(-1) for v in directions]
        analytic = _along(moves, gradients)
        function = Function(subject, point.upstream, point.function.eps)
        line = DirectionLine(subject.variables, directions)
        judged = assess(function, line, analytic, Allowance.none(analytic))
    off = np.abs(judged.analytic - judged.numeric)
    if judged.verdicts[0] == Verdict.WRONG and off > LIMIT * np.abs(judged.analytic):
        if not _right_if_fresh(subject, point, moved):
            function = Function(subject, point.upstream, point.function.eps)
            with subject.restored():
                for v, m in zip(subject.variables, moved, strict=True):
                    v[...] = m
                gradients_ = [subject.gradients(subject.split(r)) for r in point.upstream]
                there = Point(
                    subject, subject, Function(subject, point.upstream), gradients_, point.rng
                )
                report.tensors.clear()
                report.notes.append(
                    "constant parameters were moved; with them as they are, all is well"
                )
                none = [Allowance.none(a) for a in there.analytic]
                _by_elements(
                    report,
                    there,
                    none,
                    None,
                    {i: np.arange(v.size) for i, v in enumerate(subject.variables)},
                )
            return
        message = (
            "gradients are right at first, but not after the parameters have moved, as an "
            "optimizer moves them: something of an earlier call is kept on the layer"
        )
        report.violate("parameters change between calls", message)
        report.diagnosis.append(Diagnosis("stale state", "", message))


def _right_if_fresh(subject: LayerSubject, point: Point, moved: list[Array]) -> bool:
    """Whether a fresh copy at the moved parameters gives another gradient than this one."""
    fresh = LayerSubject(subject.checked, subject.inputs, subject.dtype, subject.training)
    for v, m in zip(fresh.variables, moved, strict=True):
        v[...] = m
    fresh.look()
    fresh.outputs()
    with subject.restored():
        for v, m in zip(subject.variables, moved, strict=True):
            v[...] = m
        used = subject.gradients(subject.split(point.upstream[0]))
    new = fresh.gradients(fresh.split(point.upstream[0]))
    from npnet.gradcheck.conduct import same

    return not all(same(a, b) for a, b in zip(used, new, strict=True))


# --- float32


def _float32_allowances(point: Point) -> list[Allowance]:
    """Return what rounding in float32 may cost.

    That is a share of the gradient's size, what jittering everything by a rounding error moves,
    and how far float32 and float64 are apart at points nearby, up to a limit.
    """
    moved = point.wobble(_EPS32)
    apart = point.float32_errors()
    found = []
    for a, m, e in zip(point.analytic, moved, apart, strict=True):
        largest = np.abs(a).max(axis=0, initial=0.0)
        absolute = 64 * _EPS32 * (np.abs(a) + largest) + _UNDERFLOW32
        found.append(Allowance(absolute, 8 * (m + e), largest))
    return found
