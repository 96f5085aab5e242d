"""Which modules the doctests leave out: those whose optional libraries are not installed."""

from importlib.util import find_spec

collect_ignore = []
if find_spec("numba") is None:
    collect_ignore.append("npnet/ops/compiled.py")
if find_spec("matplotlib") is None:
    collect_ignore.append("npnet/plot")
