"""Parts of a computation in threads, and the threads of NumPy's BLAS meanwhile."""

import os
import threading
import warnings

import numpy as np
import pytest

from npnet.ops import columns, conv, parallel, pointwise, rows, winograd


@pytest.fixture
def blas(monkeypatch):
    """Pretend that BLAS has three threads; return the numbers that are set."""
    now = [3]
    monkeypatch.setattr(parallel, "_blas", lambda: (lambda: now[-1], now.append))
    return now


def test_parts_run_in_threads_and_their_results_come_in_order(blas):
    barrier = threading.Barrier(3, timeout=10)

    def part(start, stop):
        barrier.wait()
        assert parallel.threads() == 3  # however many it has at this moment
        return start, stop

    assert parallel.in_parts(part, 7, 1.0) == [(0, 2), (2, 4), (4, 7)]
    assert blas == [3, 1, 3]


@pytest.mark.parametrize(("count", "seconds"), [(7, 1e-6), (1, 1.0), (0, 1.0)])
def test_little_work_is_not_divided(blas, count, seconds):
    assert parallel.in_parts(lambda *part: part, count, seconds) == [(0, count)]
    assert blas == [3]


@pytest.mark.parametrize("failing", [0, 2])
def test_an_error_comes_out_and_blas_has_its_threads_again(blas, failing):
    def part(start, stop):
        if start == failing:
            raise ZeroDivisionError
        return start

    with pytest.raises(ZeroDivisionError):
        parallel.in_parts(part, 6, 1.0)
    assert blas == [3, 1, 3]


def test_the_last_of_several_users_puts_the_number_back(blas):
    with parallel._single_threaded():
        with parallel._single_threaded():
            assert blas == [3, 1]
        assert blas == [3, 1]
    assert blas == [3, 1, 3]


def test_without_a_blas_that_can_be_told_nothing_is_divided(monkeypatch):
    monkeypatch.setattr(parallel, "_blas", lambda: None)
    assert parallel.threads() == 1
    assert parallel.in_parts(lambda *part: part, 9, 1.0) == [(0, 9)]


def test_warnings_are_off_in_threads_where_they_are_off_outside(blas):
    def part(start, stop):
        return np.full(2, 1e38, np.float32) * np.float32(10)

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("error")
        assert np.isinf(parallel.in_parts(part, 3, 1.0)).all()


def test_the_real_blas_keeps_its_threads():
    before = parallel.threads()
    found = parallel.in_parts(lambda start, stop: parallel.threads(), 4, 1.0)
    assert set(found) == {before}
    assert parallel.threads() == before


@pytest.mark.parametrize(
    ("way", "channels", "kernel_size", "stride"),
    [(winograd, 8, 3, 1), (columns, 3, 3, 1), (columns, 3, 3, 2), (rows, 8, 3, 2), (rows, 8, 5, 1),
     (pointwise, 8, 1, 1)],
)  # fmt: skip
def test_convolutions_in_parts_are_those_of_all_images(
    blas, monkeypatch, rng, way, channels, kernel_size, stride
):
    g = conv.geometry((10, 9), (kernel_size,) * 2, (stride,) * 2, ((0, 0),) * 2, (1, 1), 1)
    x, w = rng.normal(size=(5, channels, 10, 9)), rng.normal(size=(8, channels, *g.kernel_size))
    grad = rng.normal(size=(5, 8, *g.out))
    x, w, grad = (a.astype(np.float32) for a in (x, w, grad))

    def results():
        y, dw, dx = np.empty_like(grad), np.empty_like(w), np.empty_like(x)
        way.convolve(x, w, w[:, 0, 0, 0], g, y)
        way.weight_grad(x, grad, g, dw)
        way.input_grad(grad, w, None, g, dx)
        return y, dw, dx

    expected = results()
    assert blas == [3]
    monkeypatch.setattr(parallel, "_WORTH", 1e-12)
    for found, right in zip(results(), expected, strict=True):
        np.testing.assert_allclose(found, right, rtol=1e-4, atol=1e-4)
    assert len(blas) > 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*fork")
def test_a_forked_process_does_not_wait_for_threads_that_it_does_not_have(blas):
    with parallel._single_threaded(), parallel._lock:
        child = os.fork()
        if not child:
            free = parallel._lock.acquire(timeout=5)
            os._exit(0 if free and blas == [3, 1, 3] and not parallel._users else 1)
        assert os.waitpid(child, 0)[1] == 0
    assert blas == [3, 1, 3]
