"""Random calls with arguments of the wrong kind: refused by npnet's own errors, never accepted."""

import copy
import math
from decimal import Decimal
from fractions import Fraction
from functools import partial

import numpy as np
import pytest

import npnet
from npnet import init, schedules
from npnet.errors import NpnetError
from npnet.random import as_generator


def half(step):
    return 0.5


NUMBERS = [
    0, 1, 2, 3, -1, 0.0, 0.5, 1.0, 1.5, -0.5, 0.9, 1e-300, 10**30, 10**400, -(10**400), math.nan,
    math.inf, -math.inf, np.float16(0.1), np.float32(0.5), np.float64(2.0), np.float16("nan"),
    np.int8(3), np.uint64(1), np.longdouble("0.25"), Fraction(1, 2),
]  # fmt: skip
OTHERS = [
    None, "", "text", "0.5", b"1", True, False, np.True_, 1j, np.complex64(1), Decimal("0.5"),
    np.array(0.5), np.array(3), np.zeros(2), np.ones((2, 2)), np.array(["a"]), np.array(True),
    [], [1], [0.5, 0.5], (0.9, 0.99), (0.9, 1.0), (0.9, "x"), {}, {"a": 1}, {1, 2}, object(), int,
    float, np.float32, schedules.StepLR, ValueError, range(3), half, np.datetime64("2020-01-01"),
    np.ma.masked, slice(2), ..., NotImplemented,
]  # fmt: skip
POOL = NUMBERS + OTHERS


def real(low=-math.inf, high=math.inf, above=-math.inf, below=math.inf):
    def fits(value):
        kinds = int | float | Fraction | np.integer | np.floating
        if isinstance(value, bool | np.bool_) or not isinstance(value, kinds):
            return False
        if isinstance(value, int) and abs(value) > 10**300:
            return False
        number = float(value)
        return math.isfinite(number) and low <= number <= high and above < number < below

    return fits


def whole(low, high=2**63 - 1):
    return lambda v: (
        isinstance(v, int | np.integer) and not isinstance(v, bool) and low <= int(v) <= high
    )


def a_flag(value):
    return isinstance(value, bool | np.bool_)


def a_function(value):
    return value is half


def betas(value):
    pair = isinstance(value, tuple | list) and len(value) == 2
    share = real(0, below=1)
    return pair and either(share, a_function)(value[0]) and share(value[1])


def betas_or_more(value):
    return isinstance(value, tuple | list) and len(value) == 2 and all(map(real(0), value))


def axes(value):
    whole_numbers = isinstance(value, tuple | list) and all(map(whole(-(2**63) + 1), value))
    return whole_numbers or whole(-(2**63) + 1)(value)


def sizes(value):
    one = whole(0, 10**6)
    return one(value) or (
        isinstance(value, tuple | list) and len(value) < 3 and all(map(one, value))
    )


def planes(value):
    return isinstance(value, tuple | list) and len(value) == 2 and sizes(value)


def a_dtype(value):
    return value in (float, np.float32) if isinstance(value, type) else False


def source(value):
    return value is None or whole(0, 2**128 - 1)(value)


def either(*checks):
    return lambda value: any(check(value) for check in checks)


def parameters():
    return [npnet.Parameter(np.ones((2, 2))), npnet.Parameter(np.ones(3))]


def with_grad():
    ps = parameters()
    for p in ps:
        p.grad = np.ones(p.shape)
    return ps


def limited(count):
    with npnet.limit_threads(count):
        pass


never = either()
rate = either(real(0), a_function)
drawn = {"dtype": (np.float32, a_dtype), "rng": (0, source)}
fans = {"shape": ((2, 3), planes), **drawn}
kaiming = {
    "a": (0.1, real()),
    "mode": ("fan_in", never),
    "nonlinearity": ("relu", never),
    **fans,
}
CALLS = {
    npnet.optim.SGD: {
        "params": (parameters, never),
        "lr": (0.1, rate),
        "momentum": (0.9, rate),
        "dampening": (0.0, real()),
        "weight_decay": (0.0, real(0)),
        "nesterov": (False, a_flag),
        "maximize": (False, a_flag),
    },
    npnet.optim.Adam: {
        "params": (parameters, never),
        "lr": (0.1, rate),
        "betas": ((0.9, 0.99), betas),
        "eps": (1e-8, real(0)),
        "weight_decay": (0.0, real(0)),
        "amsgrad": (False, a_flag),
        "maximize": (False, a_flag),
    },
    npnet.optim.RMSprop: {
        "params": (parameters, never),
        "lr": (0.1, rate),
        "alpha": (0.9, real(0, 1)),
        "momentum": (0.9, rate),
        "centered": (True, a_flag),
        "clip_norm": (1.0, either(real(0), lambda v: v is None)),
        "clip_value": (1.0, either(real(0), lambda v: v is None)),
        "constraints": ((), lambda v: isinstance(v, list | range) and not len(v)),
    },
    npnet.optim.Rprop: {
        "params": (parameters, never),
        "lr": (0.1, rate),
        "etas": ((0.5, 1.2), never),
        "step_sizes": ((0.0, 1.0), lambda v: betas_or_more(v) and v[0] <= v[1]),
    },
    npnet.optim.Adafactor: {
        "params": (parameters, never),
        "beta2_decay": (-0.5, real(high=0)),
        "eps": ((None, 1e-3), betas_or_more),
        "d": (1.0, real(1)),
    },
    npnet.optim.LBFGS: {
        "params": (parameters, never),
        "max_iter": (3, whole(1)),
        "max_eval": (3, either(whole(1), lambda v: v is None)),
        "tolerance_grad": (0.0, real(0)),
        "history_size": (3, whole(1)),
        "line_search_fn": (None, lambda v: v is None),
    },
    npnet.constraints.MaxNorm: {"max_value": (1.0, real(0)), "axis": (0, axes)},
    npnet.optim.clip_grad_value: {
        "parameters": (with_grad, never),
        "clip_value": (1.0, real(0)),
    },
    npnet.optim.clip_grad_norm: {
        "parameters": (with_grad, never),
        "max_norm": (1.0, either(real(0), lambda v: isinstance(v, float) and v == math.inf)),
        "norm_type": (2, either(real(above=0), lambda v: isinstance(v, float) and v == math.inf)),
        "error_if_nonfinite": (False, a_flag),
    },
    schedules.StepLR: {
        "lr": (0.1, real(0)),
        "step_size": (3, whole(1)),
        "gamma": (0.5, real(0)),
    },
    schedules.ExponentialLR: {"lr": (0.1, real(0)), "gamma": (0.5, real(0))},
    schedules.CosineAnnealingLR: {
        "lr": (0.1, real(0)),
        "T_max": (3, whole(1)),
        "eta_min": (0.0, real(0)),
    },
    schedules.LinearLR: {
        "lr": (0.1, real(0)),
        "start_factor": (0.5, real(above=0, high=1)),
        "end_factor": (1.0, real(0, 1)),
        "total_iters": (3, whole(1)),
    },
    schedules.ConstantLR: {
        "lr": (0.1, real(0)),
        "factor": (0.5, real(0, 1)),
        "total_iters": (3, whole(1)),
    },
    schedules.PolynomialLR: {
        "lr": (0.1, real(0)),
        "total_iters": (3, whole(1)),
        "power": (1.0, real(0)),
    },
    schedules.CosineAnnealingWarmRestarts: {
        "lr": (0.1, real(0)),
        "T_0": (3, whole(1)),
        "T_mult": (1, whole(1)),
        "eta_min": (0.0, real(0)),
    },
    schedules.LambdaLR: {"lr": (0.1, real(0)), "lr_lambda": (abs, a_function)},
    schedules.MultiplicativeLR: {"lr": (0.1, real(0)), "lr_lambda": (abs, a_function)},
    schedules.CyclicLR: {
        "base_lr": (0.1, real(0)),
        "max_lr": (0.1, real(0)),
        "step_size_up": (3, whole(1)),
        "step_size_down": (None, either(whole(0), lambda v: v is None)),
        "mode": ("triangular", never),
        "gamma": (1.0, real(0)),
        "scale_fn": (None, either(a_function, lambda v: v is None)),
        "scale_mode": ("cycle", never),
        "cycle_momentum": (True, a_flag),
        "base_momentum": (0.8, real(0)),
        "max_momentum": (0.9, real(0)),
    },
    schedules.OneCycleLR: {
        "max_lr": (0.1, real(0)),
        "total_steps": (30, whole(1)),
        "epochs": (None, either(whole(1), lambda v: v is None)),
        "steps_per_epoch": (None, either(whole(1), lambda v: v is None)),
        "pct_start": (0.3, real(0, 1)),
        "anneal_strategy": ("cos", never),
        "cycle_momentum": (True, a_flag),
        "base_momentum": (0.8, real(0)),
        "max_momentum": (0.9, real(0)),
        "div_factor": (2.0, real(above=0)),
        "final_div_factor": (2.0, real(above=0)),
        "three_phase": (False, a_flag),
    },
    schedules.ChainedScheduler: {"schedules": ([schedules.StepLR(0.1, 3)] * 2, never)},
    schedules.warmup: {
        "schedule": (schedules.StepLR(0.1, 3), a_function),
        "total_iters": (3, whole(1)),
        "start_factor": (0.5, real(0, 1)),
    },
    schedules.SequentialLR: {
        "schedules": ([schedules.StepLR(0.1, 3)] * 2, never),
        "milestones": ([4], lambda v: isinstance(v, list) and v == [1]),
    },
    schedules.per_epoch: {
        "schedule": (schedules.StepLR(0.1, 3), a_function),
        "steps_per_epoch": (3, either(whole(1), lambda v: v is None)),
    },
    init.uniform: {"shape": (3, sizes), "a": (0.0, real(high=1e7)), "b": (1e7, real(0)), **drawn},
    init.normal: {"shape": (3, sizes), "mean": (0.0, real()), "std": (1.0, real(0)), **drawn},
    init.constant: {"shape": (3, sizes), "value": (0.0, real()), "dtype": drawn["dtype"]},
    init.zeros: {"shape": (3, sizes), "dtype": drawn["dtype"]},
    init.trunc_normal: {
        "shape": (3, sizes),
        "mean": (0.0, real()),
        "std": (1.0, real(above=0)),
        "a": (-1e7, real(high=1e7)),
        "b": (1e7, real(-1e7)),
        **drawn,
    },
    init.eye: {"shape": ((2, 3), planes), "dtype": drawn["dtype"]},
    init.orthogonal: {**fans, "gain": (1.0, real())},
    init.sparse: {**fans, "sparsity": (0.5, real(0, 1)), "std": (1.0, real(0))},
    init.xavier_uniform: {**fans, "gain": (1.0, real(0))},
    init.xavier_normal: {**fans, "gain": (1.0, real(0))},
    init.kaiming_uniform: kaiming,
    init.kaiming_normal: kaiming,
    init.calculate_gain: {
        "nonlinearity": ("relu", never),
        "param": (None, either(real(), lambda v: v is None)),
    },
    init.fan_in_and_fan_out: {"shape": ((2, 3), planes)},
    npnet.manual_seed: {"seed": (3, whole(0, 2**128 - 1))},
    as_generator: {"rng": (3, source)},
    limited: {"count": (1, either(whole(1, 2**31 - 1), lambda v: v is None))},
}


def refusal(told, call):
    """Return npnet's error, None if the call is accepted; other errors fail the test."""
    try:
        call()
    except NpnetError as error:
        assert len(str(error)) < 2000, told  # noqa: PT017
        return error
    except Exception as error:
        raise AssertionError(f"{told}: {error!r}") from error
    return None


def test_only_our_errors_and_no_nonsense():
    pytest.importorskip("threadpoolctl")
    rng = np.random.default_rng(1)
    calls = [(function, name) for function, names in CALLS.items() for name in names]
    made = refused = 0
    for function, name in calls:
        for value in POOL:
            arguments = {
                key: good() if callable(good) and key in ("params", "parameters") else good
                for key, (good, _) in CALLS[function].items()
            }
            expected = {name: value}
            if rng.random() < 0.3:  # a second one
                other = rng.choice(list(arguments))
                expected.setdefault(other, POOL[rng.integers(len(POOL))])
            nonsense = [k for k, v in expected.items() if not CALLS[function][k][1](v)]
            told = f"{function.__name__} with {expected!r:.300}"
            made += 1
            error = refusal(told, partial(function, **{**arguments, **expected}))
            refused += error is not None
            assert error or not nonsense, f"{told} was accepted"
            large = any(abs(float(v)) > 1e6 for v in expected.values() if real()(v))
            assert nonsense or not error or len(expected) == 2 or large, f"{told}: {error}"
    assert made == len(calls) * len(POOL)
    assert made > 4000
    assert refused > 3000


def test_random_steps_of_schedules():
    made = 0
    for schedule in [
        schedules.StepLR(0.1, 3),
        schedules.CosineAnnealingLR(0.1, 3),
        schedules.SequentialLR([schedules.StepLR(0.1, 3)], []),
        schedules.per_epoch(schedules.StepLR(0.1, 3), 2),
        schedules.MultiStepLR(0.1, [3]),
        schedules.PolynomialLR(0.1, 3),
        schedules.CosineAnnealingWarmRestarts(0.1, 3, 2),
        schedules.CyclicLR(0.0, 0.1, 3, mode="exp_range", gamma=0.5),
        schedules.warmup(schedules.StepLR(0.1, 3)),
    ]:
        for value in POOL:
            made += 1
            if whole(0)(value):
                assert 0 <= schedule(value) <= 0.1
            else:
                with pytest.raises(NpnetError, match="step to be an integer"):
                    schedule(value)
    assert made == 9 * len(POOL)


def test_random_changes_of_options_and_states():
    rng = np.random.default_rng(2)
    made = refused = 0
    for _ in range(1500):
        ps = with_grad()
        optimizer = npnet.optim.Adam([{"params": ps[:1]}, {"params": ps[1:]}], amsgrad=True)
        optimizer.step()
        state, values = optimizer.state_dict(), [p.data.copy() for p in ps]
        target = optimizer.param_groups[rng.integers(2)] if rng.random() < 0.3 else None
        bad = copy.deepcopy(state)
        value = POOL[rng.integers(len(POOL))]
        place = bad if target is None else target
        while True:  # walk down to some place
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            key = keys[rng.integers(len(keys))]
            deeper = isinstance(place[key], dict | list) and len(place[key])
            if target is not None or not deeper or rng.random() < 0.2:
                break
            place = place[key]
        place[key] = value
        made += 1
        told = f"{value!r:.100} at {key!r}"
        call = optimizer.step if target is not None else partial(optimizer.load_state_dict, bad)
        if refusal(told, call):
            refused += 1
            np.testing.assert_equal([p.data for p in ps], values)
            if target is None:
                np.testing.assert_equal(optimizer.state_dict(), state, told)
        else:  # then it was a value that can be there
            for entry in optimizer.state_dict()["state"].values():
                assert all(np.isfinite(v).all() for v in entry.values()), told
            optimizer.step()
    assert made == 1500
    assert refused > 1000


def test_random_returns_of_schedules():
    for value in POOL:
        p, _ = with_grad()
        optimizer = npnet.optim.SGD([p], lr={0: value}.get)
        if real(0)(value):
            optimizer.step()
        else:
            with pytest.raises(NpnetError, match="at step 0 to be a finite number of at least 0"):
                optimizer.step()
            assert (p.data == 1).all()
