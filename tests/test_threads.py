import sys

import numpy as np
import pytest

import npnet
from npnet.errors import ArgumentError, MissingDependency


def blas_threads():
    threadpoolctl = pytest.importorskip("threadpoolctl")
    pools = threadpoolctl.threadpool_info()
    return [pool["num_threads"] for pool in pools if pool["user_api"] == "blas"]


def test_the_limit_holds_inside_the_block():
    before = blas_threads()
    with npnet.limit_threads(1) as count:
        assert count == 1
        assert set(blas_threads()) <= {1}
    assert blas_threads() == before
    with pytest.raises(ZeroDivisionError), npnet.limit_threads(1):
        raise ZeroDivisionError
    assert blas_threads() == before


@pytest.mark.parametrize(("seconds_of_all", "expected"), [(0.5, "all"), (0.98, 1), (30.0, 1)])
def test_the_faster_number_is_taken(monkeypatch, seconds_of_all, expected):
    most = max(blas_threads(), default=1)
    if most == 1:
        pytest.skip("BLAS has one thread here")
    now = 0.0

    def dot(*args, **kwargs):
        nonlocal now
        now += 1.0 if max(blas_threads()) == 1 else seconds_of_all

    monkeypatch.setattr(np, "dot", dot)
    monkeypatch.setattr("time.perf_counter", lambda: now)
    with npnet.limit_threads() as count:
        assert count == (most if expected == "all" else 1)


@pytest.mark.parametrize("bad", [0, -1, 1.5, True, "two"])
def test_odd_numbers_are_refused(bad):
    with pytest.raises(ArgumentError, match="positive"):
        npnet.limit_threads(bad)


def test_without_threadpoolctl_it_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    with pytest.raises(MissingDependency, match="OPENBLAS_NUM_THREADS"), npnet.limit_threads(1):
        pass
