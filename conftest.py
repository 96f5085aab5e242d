"""Which files pytest does not look into for doctests."""

from importlib.util import find_spec

collect_ignore_glob = ["*conftest.py"]
collect_ignore = []
if find_spec("numba") is None:
    collect_ignore.append("npnet/ops/jit.py")
    collect_ignore_glob.append("npnet/ops/*_compiled.py")
if find_spec("matplotlib") is None:
    collect_ignore.append("npnet/plot")
