import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import timing
from benchmarks.timing import Pace, Run, quartiles, race, ratio, reason


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still unless it is moved."""

    class Clock:
        now = 0.0

        def move(self, seconds):
            self.now += seconds

    clock = Clock()
    monkeypatch.setattr(timing.time, "perf_counter", lambda: clock.now)
    return clock


def test_a_turn_is_the_time_of_a_call(clock):
    calls = []
    run = Run(lambda: (calls.append(1), clock.move(2.0)))
    assert run.turn(14) == 2.0
    assert len(calls) == 14
    assert run.turn(3) == 2.0
    assert len(calls) == 17


def test_one_interruption_does_not_count_but_what_recurs_does(clock):
    count = iter(range(100))
    interrupted = Run(lambda: clock.move(50.0 if next(count) == 4 else 1.0))
    assert interrupted.turn(14) == 1.0
    count = iter(range(100))
    recurring = Run(lambda: clock.move(5.0 if next(count) % 2 else 1.0))
    assert recurring.turn(14) == 3.0


def test_settling_is_not_timed_and_ends_with_finish(clock):
    events = []

    def call():
        events.append("call")
        clock.move(1.0 if len(events) > 8 else 9.0)

    @contextlib.contextmanager
    def around():
        events.append("in")
        yield
        events.append("out")

    run = Run(call, around, finish=lambda: events.append("finish"))
    run.turn(1, settle=30.0)
    assert events == ["in", *["call"] * 4, "finish", "call", "finish", "out"]


def test_what_finishes_in_the_background_is_timed(clock):
    assert Run(lambda: None, finish=lambda: clock.move(3.0)).turn(1) == 3.0


def test_a_race_interleaves_and_adapts_the_number_of_calls(clock):
    log = []

    def runner(name, seconds):
        return Run(lambda: (log.append(name), clock.move(seconds)))

    runs = {"a": runner("a", 1.0), "b": runner("b", 4.0), "c": runner("c", 2.0)}
    seconds, failed = race(runs, Pace(6, turn=4.0, least=1, settle=0, warm=0, limit=1e9))
    assert failed == {}
    assert seconds == {"a": [1.0] * 6, "b": [4.0] * 6, "c": [2.0] * 6}
    rounds = log[3:]
    assert len(rounds) == 6 * (4 + 1 + 2)
    orders = {tuple(dict.fromkeys(rounds[i : i + 7])) for i in range(0, len(rounds), 7)}
    assert all(sorted(order) == ["a", "b", "c"] for order in orders)
    assert len(orders) > 1


def test_a_slow_contender_still_makes_several_calls_a_turn(clock):
    count = iter(range(100))
    race({"a": Run(lambda: (next(count), clock.move(9.0)))}, Pace(2, 1.0, 3, 0, 0))
    assert next(count) == 3 + 2 * 3


def test_one_interruption_does_not_spoil_the_number_of_calls(clock):
    count = iter(range(1000))
    run = Run(lambda: clock.move(100.0 if next(count) == 1 else 1.0))
    race({"a": run}, Pace(1, turn=14, least=3, settle=0, warm=0))
    assert next(count) == 3 + 14


def test_a_race_rests_where_other_threads_take_over(monkeypatch):
    log = []
    monkeypatch.setattr(timing, "rest", lambda: log.append("rest"))
    runs = {
        name: Run(lambda name=name: log.append(name), pool=pool)
        for name, pool in (("a", "one"), ("b", "one"), ("c", "two"))
    }
    race(runs, Pace(5, turn=0, least=1, settle=0, warm=0))
    turns = [
        (before, now) for before, now in zip(["", *log[:-1]], log, strict=True) if now != "rest"
    ]
    last = ""
    for before, name in turns:
        assert (before == "rest") == (runs[name].pool != last)
        last = runs[name].pool
    assert len(turns) == 6 * 3


@pytest.mark.parametrize(
    ("busy", "naps"), [([1.0, 1.0, 0.3, 0.0], 4), ([0.01], 1), ([1.0] * 99, 50)]
)
def test_a_rest_lasts_until_no_thread_computes(busy, naps, clock, monkeypatch, rests):
    spent, shares = [0.0], iter(busy)

    def nap(seconds):
        clock.move(seconds)
        spent.append(spent[-1] + seconds * next(shares))

    monkeypatch.setattr(timing.time, "sleep", nap)
    monkeypatch.setattr(timing.time, "process_time", lambda: spent[-1])
    timing.rest(limit=50 * timing._NAP - 1e-9)
    assert len(spent) - 1 == naps


def test_a_race_ends_after_its_limit_but_not_before_three_rounds(clock):
    run = Run(lambda: clock.move(1.0))
    assert len(race({"a": run}, Pace(9, 0, 1, 0, 0, limit=0.5))[0]["a"]) == 3
    assert len(race({"a": run}, Pace(9, 0, 1, 0, 0, limit=4.5))[0]["a"]) == 5
    assert len(race({"a": run}, Pace(2, 0, 1, 0, 0, limit=0.5))[0]["a"]) == 2


@pytest.mark.parametrize("fatal", [0, 2])
def test_whoever_fails_is_reported_and_the_others_go_on(fatal):
    count = iter(range(100))

    def fail():
        if next(count) == fatal:
            raise ValueError("no such thing\nsecond line")

    seconds, failed = race({"bad": Run(fail), "good": Run(lambda: None)}, Pace(4, 0, 1, 0, 0))
    assert failed == {"bad": "ValueError: no such thing"}
    assert list(seconds) == ["good"]
    assert len(seconds["good"]) == 4


def test_an_interrupt_is_not_a_failure():
    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        race({"a": Run(interrupt)}, Pace(1, 0, 1, 0, 0))


@given(st.lists(st.floats(0.001, 1000), min_size=1, max_size=30))
def test_quartiles_are_numpys(values):
    assert np.allclose(quartiles(values), np.percentile(values, [25, 50, 75]))


def test_ratios_are_taken_round_by_round():
    # The third round is slow for both: no reason to think that their ratio changed.
    assert ratio([1.0, 2.0, 30.0], [2.0, 4.0, 60.0]) == (0.5, 0.5, 0.5)
    assert ratio([1.0, 2.0, 3.0], [2.0]) == (0.75, 1.0, 1.25)
    with pytest.raises(ValueError, match="shorter"):
        ratio([1.0, 2.0, 3.0], [1.0, 2.0])


def test_reason_without_text():
    assert reason(RuntimeError()) == "RuntimeError"
