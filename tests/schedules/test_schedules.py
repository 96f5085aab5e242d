"""Schedules as pure functions: values, arguments, edges, resuming, what holds others."""

from __future__ import annotations

import copy
import inspect
import math
import pickle
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import npnet
from npnet.errors import ArgumentError, NameTypoError
from npnet.schedules import (
    ChainedScheduler,
    ConstantLR,
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    CyclicLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    MultiplicativeLR,
    MultiStepLR,
    OneCycleLR,
    PolynomialLR,
    SequentialLR,
    StepLR,
    per_epoch,
    warmup,
    with_steps_per_epoch,
)

ONE_OF_EACH = [
    StepLR(0.1, step_size=3, gamma=0.5),
    ExponentialLR(0.1, gamma=0.9),
    CosineAnnealingLR(0.1, T_max=8, eta_min=0.01),
    LinearLR(0.1, start_factor=0.25, end_factor=0.75, total_iters=4),
    SequentialLR([LinearLR(0.1), ExponentialLR(0.1, 0.9)], milestones=[5]),
    per_epoch(StepLR(0.1, step_size=2), steps_per_epoch=3),
    MultiStepLR(0.1, milestones=[7, 3], gamma=0.5),
    PolynomialLR(0.1, total_iters=9, power=2),
    ConstantLR(0.1, factor=0.5, total_iters=3),
    LambdaLR(0.1, math.sqrt),
    MultiplicativeLR(0.1, math.tanh),
    CosineAnnealingWarmRestarts(0.1, T_0=3, T_mult=2, eta_min=0.01),
    ChainedScheduler([LinearLR(0.1), ExponentialLR(0.1, 0.9)]),
    CyclicLR(0.01, 0.1, step_size_up=3, mode="triangular2"),
    CyclicLR(0.01, 0.1, step_size_up=3, mode="triangular2").momentum,
    OneCycleLR(0.1, total_steps=201),
    OneCycleLR(0.1, total_steps=201).momentum,
    warmup(ExponentialLR(0.1, 0.9), total_iters=4),
]


def by_name(schedule):
    return type(schedule).__name__


def rates(schedule, steps):
    return [schedule(step) for step in range(steps)]


def test_the_ends_of_a_ramp_are_exact():
    schedule = LinearLR(0.7, start_factor=0.9, end_factor=0.1, total_iters=3)
    assert schedule(0) == 0.7 * 0.9
    assert schedule(3) == schedule(10**12) == 0.7 * 0.1
    schedule = CosineAnnealingLR(0.7, T_max=13, eta_min=0.03)
    assert schedule(0) == schedule(26) == 0.7
    assert schedule(13) == schedule(39) == 0.03


def test_cosine_may_rise_to_eta_min():
    schedule = CosineAnnealingLR(0.0, T_max=2, eta_min=1.0)
    np.testing.assert_allclose(rates(schedule, 4), [0.0, 0.5, 1.0, 0.5], rtol=1e-15)


def test_each_part_of_a_sequence_has_its_own_base_rate_and_may_be_any_function():
    schedule = SequentialLR([lambda step: 10.0 + step, StepLR(0.5, 1, 0.5)], (np.int64(2),))
    assert rates(schedule, 5) == [10.0, 11.0, 0.5, 0.25, 0.125]
    assert schedule.milestones == (2,)
    assert type(schedule.milestones[0]) is int


def test_a_sequence_of_one():
    assert rates(SequentialLR([StepLR(1.0, 2, 0.5)], []), 4) == [1.0, 1.0, 0.5, 0.5]


def test_gamma_zero_and_rate_zero():
    assert rates(ExponentialLR(0.5, 0), 3) == [0.5, 0.0, 0.0]
    assert rates(ExponentialLR(0, 10.0), 3) == [0.0, 0.0, 0.0]


def test_growth_beyond_the_floats_is_infinite_and_decay_below_them_zero():
    assert ExponentialLR(0.1, 2.0)(10_000) == math.inf
    assert ExponentialLR(0.0, 2.0)(10_000) == 0.0
    assert ExponentialLR(0.1, 0.5)(10_000) == 0.0


@pytest.mark.parametrize("schedule", ONE_OF_EACH, ids=by_name)
def test_a_schedule_is_pure(schedule):
    forward = rates(schedule, 20)
    assert [schedule(step) for step in reversed(range(20))] == forward[::-1]
    assert all(type(rate) is float for rate in forward)


@pytest.mark.parametrize("schedule", ONE_OF_EACH, ids=by_name)
@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint8])
def test_numpy_steps(schedule, kind):
    assert schedule(kind(200)) == schedule(200)
    assert type(schedule(kind(3))) is float


@pytest.mark.parametrize("schedule", ONE_OF_EACH, ids=by_name)
@pytest.mark.parametrize(
    "step", [-1, np.int64(-3), 0.5, 2.0, math.nan, math.inf, np.float64(1), "3", None, True, [1]]
)
def test_a_step_that_is_no_count_is_refused(schedule, step):
    with pytest.raises(ArgumentError, match="step to be an integer of at least 0, got") as error:
        schedule(step)
    assert repr(step) in str(error.value)


@pytest.mark.parametrize("schedule", ONE_OF_EACH, ids=by_name)
def test_schedules_are_values(schedule):
    for twin in (
        schedule if "built-in" in repr(schedule) else eval(repr(schedule)),
        copy.copy(schedule),
        copy.deepcopy(schedule),
        pickle.loads(pickle.dumps(schedule)),
    ):
        assert twin == schedule
        assert hash(twin) == hash(schedule)
        assert repr(twin) == repr(schedule)
    assert [other == schedule for other in ONE_OF_EACH].count(True) == 1
    assert schedule != repr(schedule)


def test_equality_sees_every_argument():
    assert StepLR(0.1, 3) == StepLR(np.float64(0.1), np.int64(3), 0.1)
    assert len({StepLR(0.1, 3), StepLR(0.2, 3), StepLR(0.1, 4), StepLR(0.1, 3, 0.2)}) == 4
    assert ExponentialLR(1, 1) == ExponentialLR(1.0, 1.0)
    assert repr(ExponentialLR(np.float64(1), 1)) == "ExponentialLR(lr=1.0, gamma=1.0)"


@pytest.mark.parametrize("schedule", ONE_OF_EACH, ids=by_name)
@pytest.mark.parametrize("name", ["lr", "milestones", "leaning_rate"])
def test_schedules_do_not_change(schedule, name):
    with pytest.raises(NameTypoError, match=f"make a new {type(schedule).__name__} to set"):
        setattr(schedule, name, 0.5)


def test_changing_the_lists_a_sequence_was_made_of_does_not_change_it():
    parts, milestones = [StepLR(1.0, 1, 0.5), StepLR(2.0, 1, 0.5)], [2]
    schedule = SequentialLR(parts, milestones)
    parts.clear()
    milestones[0] = 7
    assert rates(schedule, 4) == [1.0, 0.5, 2.0, 1.0]


GOOD = {
    StepLR: {"lr": 0.1, "step_size": 3, "gamma": 0.5},
    ExponentialLR: {"lr": 0.1, "gamma": 0.5},
    CosineAnnealingLR: {"lr": 0.1, "T_max": 3, "eta_min": 0.01},
    LinearLR: {"lr": 0.1, "start_factor": 0.5, "end_factor": 1.0, "total_iters": 3},
    MultiStepLR: {"lr": 0.1, "gamma": 0.5, "milestones": [1]},
    PolynomialLR: {"lr": 0.1, "total_iters": 3, "power": 2.0},
    ConstantLR: {"lr": 0.1, "factor": 0.5, "total_iters": 3},
    LambdaLR: {"lr": 0.1, "lr_lambda": math.sqrt},
    MultiplicativeLR: {"lr": 0.1, "lr_lambda": math.sqrt},
    CosineAnnealingWarmRestarts: {"lr": 0.1, "T_0": 3, "T_mult": 2, "eta_min": 0.01},
    CyclicLR: {
        "base_lr": 0.1, "max_lr": 0.2, "step_size_up": 3, "gamma": 0.5, "base_momentum": 0.1,
        "max_momentum": 0.9,
    },
    OneCycleLR: {
        "max_lr": 0.1, "total_steps": 30, "pct_start": 0.3, "base_momentum": 0.1,
        "max_momentum": 0.9, "div_factor": 2.0, "final_div_factor": 2.0,
    },
    warmup: {"schedule": math.sqrt, "total_iters": 5, "start_factor": 0.5},
}  # fmt: skip
OPTIONAL = {"total_steps"}
FUNCTIONS = {"lr_lambda", "schedule", "milestones"}
ARGUMENTS = [
    (kind, name) for kind, arguments in GOOD.items() for name in arguments if name not in FUNCTIONS
]


@pytest.mark.parametrize(("kind", "name"), ARGUMENTS)
@pytest.mark.parametrize(
    "bad", [-1, -0.001, math.nan, math.inf, -math.inf, np.float32("nan"), "0.1", None, True, 1j]
)
def test_bad_arguments_are_named_with_the_value_received(kind, name, bad):
    if bad is None and name in OPTIONAL:
        bad = "None"
    with pytest.raises(ArgumentError) as error:
        kind(**{**GOOD[kind], name: bad})
    assert str(error.value).startswith(f"{kind.__name__} expects {name} to be a ")
    assert str(error.value).endswith(f", got {bad!r}")


@pytest.mark.parametrize(
    ("kind", "name", "bad"),
    [
        (StepLR, "step_size", 0),
        (StepLR, "step_size", 2.0),
        (CosineAnnealingLR, "T_max", 0),
        (CosineAnnealingLR, "T_max", 2.5),
        (LinearLR, "total_iters", 0),
        (LinearLR, "total_iters", 1.0),
        (LinearLR, "start_factor", 0),
        (LinearLR, "start_factor", 1.01),
        (LinearLR, "end_factor", 1.01),
        (ConstantLR, "factor", 1.01),
        (PolynomialLR, "total_iters", 0),
        (CosineAnnealingWarmRestarts, "T_0", 0),
        (CosineAnnealingWarmRestarts, "T_mult", 0),
        (CyclicLR, "step_size_up", 0),
        (CyclicLR, "mode", "round"),
        (OneCycleLR, "total_steps", 0),
        (OneCycleLR, "pct_start", 1.01),
        (OneCycleLR, "div_factor", 0),
        (OneCycleLR, "anneal_strategy", "cosine"),
        (OneCycleLR, "three_phase", 1),
        (warmup, "total_iters", 0),
        (warmup, "start_factor", 1.01),
        (MultiStepLR, "milestones", 5),
        (LambdaLR, "lr_lambda", 0.5),
    ],
)
def test_arguments_at_the_edge_of_their_range(kind, name, bad):
    with pytest.raises(
        ArgumentError, match=f"{kind.__name__} expects {name} to be .*, got '?{bad}"
    ):
        kind(**{**GOOD[kind], name: bad})


def test_the_allowed_edges():
    assert StepLR(0, 1, 0)(0) == 0.0
    assert LinearLR(0.5, 1, 0, 1)(1) == 0.0
    assert CosineAnnealingLR(np.float32(0.5), np.int32(1))(1) == 0.0


@pytest.mark.parametrize(
    ("schedules", "milestones", "message"),
    [
        ([], [], "one fewer than schedules, got 0 milestones for 0 schedules"),
        ([StepLR(1, 1)], [1], "got 1 milestones for 1 schedules"),
        ([StepLR(1, 1)] * 3, [1], "got 1 milestones for 3 schedules"),
        ([StepLR(1, 1)] * 3, [2, 2], r"milestones\[1\] to be an integer of at least 3, got 2"),
        ([StepLR(1, 1)] * 3, [3, 2], "at least 4, got 2"),
        ([StepLR(1, 1)] * 2, [-1], r"milestones\[0\] to be an integer of at least 0, got -1"),
        ([StepLR(1, 1)] * 2, [1.5], "got 1.5"),
        ([StepLR(1, 1)] * 2, [math.nan], "got nan"),
        ([StepLR(1, 1)] * 2, [None], "got None"),
        ([StepLR(1, 1)] * 2, 5, "milestones to be a list, got 5"),
        (StepLR(1, 1), [], "schedules to be a list, got StepLR"),
        (
            [StepLR(1, 1), 0.1],
            [5],
            r"schedules\[1\] to be a function of the step, got 0.1; a constant rate is",
        ),
    ],
)
def test_bad_sequences(schedules, milestones, message):
    with pytest.raises(ArgumentError, match=message):
        SequentialLR(schedules, milestones)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ChainedScheduler([]), "at least one schedule"),
        (lambda: ChainedScheduler(StepLR(1, 1)), "schedules to be a list, got StepLR"),
        (lambda: ChainedScheduler([StepLR(1, 1), 0.1]), r"schedules\[1\] to be a function"),
        (lambda: ChainedScheduler([StepLR(1, 1), StepLR(2, 1)]), "same lr, got 1.0, 2.0"),
        (lambda: MultiStepLR(0.1, [3, -1]), r"milestones\[1\] to be an integer of at least 0"),
        (lambda: MultiStepLR(0.1, [3, 2.0]), r"milestones\[1\] to be an integer"),
        (lambda: MultiStepLR(0.1, {3: 0.1}), "milestones to be a list"),
        (lambda: OneCycleLR(0.1), "total_steps or epochs, got neither"),
        (lambda: OneCycleLR(0.1, steps_per_epoch=3), "total_steps or epochs, got neither"),
        (lambda: OneCycleLR(0.1, epochs=3)(0), "OneCycleLR does not know how many steps an epoch"),
        (lambda: OneCycleLR([0.1, 0.2], 10), "a parameter group takes its own schedule"),
        (lambda: LambdaLR(0.1, [abs]), "lr_lambda to be a function.*a parameter group takes"),
        (lambda: LambdaLR(0.1, str)(3), "lr_lambda to be a function of the step, got the class"),
        (lambda: LambdaLR(0.1, lambda step: None)(3), r"lr_lambda\(3\) to be a finite number"),
        (lambda: MultiplicativeLR(0.1, lambda step: math.nan)(3), r"lr_lambda\(1\) to be a fin"),
        (lambda: CyclicLR(0, 1, 2, scale_fn=lambda x: "1")(2), r"scale_fn\(1\) to be a finite"),
        (lambda: warmup(0.1), "schedule to be a function of the step, got 0.1; a constant rate"),
    ],
)
def test_bad_arguments_of_the_others(make, message):
    with pytest.raises(ArgumentError, match=message):
        make()


def test_a_step_beyond_the_one_cycle_is_refused():
    cycle = OneCycleLR(0.1, total_steps=10, anneal_strategy="linear")
    for schedule in cycle, cycle.momentum:
        assert schedule(10) == schedule(9)  # the optimizer's rate may be read after the last step
        with pytest.raises(ArgumentError, match="has 10 steps, and this is step 11; make"):
            schedule(11)


@pytest.mark.parametrize("strategy", ["cos", "linear"])
def test_a_one_cycle_whose_way_up_is_its_first_step(strategy):
    cycle = OneCycleLR(1.0, total_steps=4, pct_start=0.25, anneal_strategy=strategy)
    assert cycle(0) == 1.0  # where PyTorch divides by zero
    assert cycle.momentum(0) == 0.85
    assert cycle(3) == pytest.approx(4e-6)


def test_one_cycle_counts_epochs_when_it_is_told_how_long_they_are():
    cycle = OneCycleLR(0.1, epochs=3)
    filled = with_steps_per_epoch(cycle, 7)
    assert filled == OneCycleLR(0.1, epochs=3, steps_per_epoch=7)
    assert rates(filled, 21) == rates(OneCycleLR(0.1, 21), 21)
    assert with_steps_per_epoch(cycle.momentum, 7) == filled.momentum
    assert with_steps_per_epoch(filled, 8) is filled
    held = OneCycleLR(0.1, total_steps=5, epochs=3)
    assert with_steps_per_epoch(held, 7) is held
    for holder in SequentialLR([cycle], []), ChainedScheduler([cycle]), warmup(cycle, 2):
        assert with_steps_per_epoch(holder, 7)(5) == with_steps_per_epoch(holder, 7)(5)
        with pytest.raises(ArgumentError, match="how many steps"):
            holder(5)


def test_a_chain_of_epochs_and_steps():
    each = with_steps_per_epoch(per_epoch(ExponentialLR(1.0, 0.5)), 3)
    schedule = ChainedScheduler([LinearLR(1.0, 0.5, total_iters=2), each])
    assert rates(schedule, 7) == pytest.approx([0.5, 0.75, 1, 0.5, 0.5, 0.5, 0.25], rel=1e-14)


def test_a_chain_with_a_sequence():
    second = SequentialLR([ConstantLR(1.0, 0.5, 2), ExponentialLR(1.0, 0.5)], [3])
    schedule = ChainedScheduler([ExponentialLR(1.0, 0.5), second])
    assert rates(schedule, 5) == [0.5, 0.25, 0.25, 1.0, 0.25]  # what takes over sets the rate


def test_a_chain_does_not_rise_from_zero():
    schedule = ChainedScheduler([ConstantLR(1.0, 0.0, 2), ExponentialLR(1.0, 0.5)])
    assert rates(schedule, 2) == [0.0, 0.0]
    with pytest.raises(ArgumentError, match="cannot rise from 0 as ConstantLR.* does at step 2"):
        schedule(2)
    assert rates(ChainedScheduler([StepLR(1.0, 2, 0.0), ExponentialLR(1.0, 2.0)]), 5)[2:] == [0] * 3
    assert ChainedScheduler([ExponentialLR(1.0, 4.0)])(1000) == math.inf


def test_a_warm_up_may_lead_to_any_function():
    schedule = warmup(lambda step: 0.5, total_iters=2, start_factor=0.0)
    assert rates(schedule, 4) == [0.0, 0.25, 0.5, 0.5]
    epochs = warmup(per_epoch(StepLR(1.0, 1, 0.5)), 2, 0.0)
    assert rates(with_steps_per_epoch(epochs, 2), 7) == [0.0, 0.5, 1.0, 1.0, 0.5, 0.5, 0.25]


def test_the_milestones_of_multi_step_lr():
    schedule = MultiStepLR(1.0, np.array([4, 2, 4, 0]), 0.5)
    assert schedule.milestones == (0, 2, 4, 4)
    assert rates(schedule, 5) == [0.5, 0.5, 0.25, 0.25, 0.0625]
    assert rates(MultiStepLR(1.0, []), 2) == [1.0, 1.0]


def test_a_function_of_the_step_is_called_once_for_each():
    calls = []
    schedule = MultiplicativeLR(1.0, lambda step: calls.append(step) or 0.5)
    assert [schedule(step) for step in (3, 1, 0, 4, 4)] == [0.125, 0.5, 1.0, 0.0625, 0.0625]
    assert calls == [1, 2, 3, 4]


def test_several_threads_may_ask_a_schedule_that_keeps_its_rates():
    def slow(step):
        time.sleep(1e-4)  # lets another thread run
        return 1.0 if step % 2 else 0.5

    schedule = MultiplicativeLR(1.0, slow)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(schedule, [30] * 8))
    assert found == [0.5**15] * 8
    assert len(schedule._rates) == 31


@pytest.mark.parametrize("schedule", ONE_OF_EACH, ids=by_name)
def test_resuming_from_a_saved_step_gives_the_same_rates(schedule):
    def optimizer():
        p = npnet.Parameter(np.ones(3))
        p.grad = np.full(3, 1e-3)
        return npnet.optim.SGD([p], lr=copy.deepcopy(schedule)), p

    whole, p = optimizer()
    seen = []
    for _ in range(20):
        seen.append(whole.lr)
        whole.step()
    first, q = optimizer()
    for _ in range(8):
        first.step()
    second, r = optimizer()
    r.data = q.data
    second.load_state_dict(first.state_dict())
    for step in range(8, 20):
        assert second.lr == seen[step]
        second.step()
    assert np.array_equal(r.data, p.data)


def test_mistyped_keywords_raise():
    with pytest.raises(TypeError, match="did you mean 'step_size'"):
        StepLR(0.1, stepsize=3)


def test_a_number_of_steps_that_was_given_stays():
    schedule = per_epoch(StepLR(1.0, 1), 5)
    assert with_steps_per_epoch(schedule, 3) is schedule
    plain = StepLR(1.0, 1)
    assert with_steps_per_epoch(plain, 3) is plain
    rate = with_steps_per_epoch(abs, 3)
    assert rate is abs


@pytest.mark.parametrize(
    ("schedule", "steps", "message"),
    [
        (0.1, 3, "per_epoch expects schedule to be a function of the step, got 0.1"),
        (StepLR, 3, "got the class StepLR"),
        (None, 3, "got None"),
        (per_epoch(StepLR(1, 1)), 3, "once is enough"),
        (npnet.Linear(2, 2), 3, r"function of the step, got Linear\("),
        (npnet.MSELoss(), 3, r"function of the step, got MSELoss\("),
        (StepLR(1, 1), 0, "steps_per_epoch to be a positive integer, got 0"),
        (StepLR(1, 1), 2.0, "steps_per_epoch to be a positive integer, got 2.0"),
        (StepLR(1, 1), "3", "steps_per_epoch to be a positive integer, got '3'"),
    ],
)
def test_bad_epochs(schedule, steps, message):
    with pytest.raises(ArgumentError, match=message):
        per_epoch(schedule, steps)


def test_only_schedules_are_told_a_number_of_steps():
    for wrong in 3, None, npnet.Linear(2, 2), StepLR:
        with pytest.raises(ArgumentError, match="^with_steps_per_epoch expects schedule to be a f"):
            with_steps_per_epoch(wrong, 3)
        if wrong != 3:
            with pytest.raises(ArgumentError, match="lr to be"):
                npnet.optim.Adam(npnet.Linear(2, 2).parameters(), lr=wrong)
    for wrong in 0, 2.0, None, np.ones(2):
        with pytest.raises(ArgumentError, match="steps_per_epoch to be a positive integer"):
            with_steps_per_epoch(abs, wrong)


@pytest.mark.parametrize("name", ["step", "get_last_lr", "state_dict", "last_epoch", "base_lrs"])
def test_habits_of_schedulers(name):
    with pytest.raises(NameTypoError, match="schedule|optimizer"):
        getattr(StepLR(0.1, 3), name)


def test_signatures_are_real():
    assert (
        str(inspect.signature(StepLR))
        == "(lr: 'float', step_size: 'int', gamma: 'float' = 0.1) -> 'None'"
    )
    assert list(inspect.signature(per_epoch).parameters) == ["schedule", "steps_per_epoch"]
