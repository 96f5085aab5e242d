"""Contenders in processes of their own, which take their turns when they are told to."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from benchmarks import machine
from benchmarks.contenders import Contender, contender
from benchmarks.results import Skip
from benchmarks.timing import Run, reason, rest
from benchmarks.workloads import Workload

TIMEOUT = 300.0
"""Seconds that an answer may take; compilers are slow."""


class ChildError(Exception):
    """What went wrong in a child, by its own words."""


class Child:
    """A fresh process that holds the contender of this name."""

    def __init__(self, name: str) -> None:
        self.name = name
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, name), daemon=True)
        self._process.start()
        theirs.close()

    def ask(self, function: Callable[..., Any], *args: Any) -> Any:
        """Let the child compute ``function(contender, *args)``.

        Parameters
        ----------
        function : callable
            At the top of a module.
        *args : picklable

        Raises
        ------
        Skip
            If the contender does not offer it.
        ChildError
            If it fails, ends or takes longer than `TIMEOUT`.
        """
        try:
            self._connection.send((function, args))
            if not self._connection.poll(TIMEOUT):
                self.close()
                raise ChildError(f"no answer in {TIMEOUT:g} s")
            kind, value = self._connection.recv()
        except (EOFError, OSError) as error:
            self.close()
            raise ChildError(f"its process ended with code {self._process.exitcode}") from error
        if kind != "value":
            raise (Skip if kind == "skip" else ChildError)(value)
        return value

    @property
    def alive(self) -> bool:
        """Whether it still answers."""
        return not self._connection.closed

    def close(self) -> None:
        """End the process, if need be by force."""
        self._connection.close()
        self._process.join(2)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


class RemoteRun(Run):
    """A run whose turns are taken and timed in a child."""

    def __init__(self, child: Child, workload: Workload) -> None:
        self._child = child
        note, has_result = child.ask(_build, workload)
        result = (lambda: child.ask(_result)) if has_result else None
        super().__init__(lambda: self.turn(1), result=result, note=note, pool=child.name)

    def turn(self, calls: int, settle: float = 0.0) -> float:
        """Time `calls` calls in the child, which then rests."""
        seconds: float = self._child.ask(_turn, calls, settle)
        return seconds


class Children:
    """One child for each isolated contender, started when first asked for, ended together."""

    def __init__(self) -> None:
        self._children: dict[str, Child] = {}

    def build(self, who: Contender, workload: Workload) -> Run:
        """Prepare a run, here or in the contender's child, where it replaces the last one."""
        if not who.isolated:
            return who.build(workload)
        child = self._children.get(who.name)
        if child is None or not child.alive:
            child = self._children[who.name] = Child(who.name)
        return RemoteRun(child, workload)

    def __enter__(self) -> Children:
        return self

    def __exit__(self, *_: object) -> None:
        for child in self._children.values():
            child.close()


# --- in the child

_current: Run | None = None


def _serve(connection: Connection, name: str) -> None:
    if machine.threads() < machine.usable_cpus() and hasattr(os, "sched_setaffinity"):
        # Some libraries size their pools by the processors that they may use.
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: machine.threads()])
    who = contender(name)
    while True:
        try:
            function, args = connection.recv()
        except EOFError:
            return
        try:
            connection.send(("value", function(who, *args)))
        except Skip as skip:
            connection.send(("skip", str(skip)))
        except Exception as error:  # the parent reports it
            connection.send(("error", reason(error)))


def _build(who: Contender, workload: Workload) -> tuple[str, bool]:
    global _current
    _current = who.build(workload)
    return _current.note, _current.result is not None


def _running() -> Run:
    if _current is None:
        raise RuntimeError("nothing was built")
    return _current


def _turn(_who: Contender, calls: int, settle: float) -> float:
    seconds = _running().turn(calls, settle)
    rest()
    return seconds


def _result(_who: Contender) -> Any:
    run = _running()
    if run.result is None:
        raise RuntimeError("it has no result")
    with run.around():
        return run.result()
