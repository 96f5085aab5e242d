import pytest

from benchmarks import machine, timing
from benchmarks.case import Options
from benchmarks.timing import Pace
from benchmarks.workloads import MLP


@pytest.fixture
def tiny():
    return MLP((6, 5, 4, 3), 7)


@pytest.fixture
def hasty(tiny):
    """Two rounds of one call each, on a tiny network."""
    return Options(Pace(2, turn=0, least=1, settle=0, warm=0), quick=True, networks=(tiny,))


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch):
    """On a busy machine two threads wait long for each other. (What the command sets is undone.)"""
    for name in machine._VARIABLES:
        monkeypatch.setenv(name, "1")


@pytest.fixture(autouse=True)
def _no_rest(request, monkeypatch):
    """Nothing is measured here that other threads could disturb."""
    if "rests" not in request.fixturenames:
        monkeypatch.setattr(timing, "rest", lambda: None)


@pytest.fixture
def rests():
    """Leave `timing.rest` as it is."""
