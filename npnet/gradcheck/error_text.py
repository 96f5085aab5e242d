"""An exception from a layer's code in one line, with the place where the author has to look."""

from __future__ import annotations

from pathlib import Path

from npnet.errors import NpnetError

_GRADCHECK = Path(__file__).parent
_NPNET = _GRADCHECK.parent
# Modules that only pass a call on to the layer.
_BETWEEN = ("calls", "configured", "context", "convert", "errors", "layer", "parameter",
            "registry", "state")  # fmt: skip


def describe(error: BaseException) -> str:
    """Return ``"ValueError: no way (mylayers.py, line 3)"``: the last line of the layer's own."""
    text = error.args[0] if isinstance(error, NpnetError) and error.args else error
    words, place = " ".join(f"{type(error).__name__}: {text}".split()).removesuffix(":"), ""
    trace = None if isinstance(error, SyntaxError) else error.__traceback__  # it says where
    while trace is not None:
        path = Path(trace.tb_frame.f_code.co_filename)
        between = path.parent == _NPNET and path.stem in _BETWEEN
        inside = "numpy" in path.parts or _GRADCHECK in path.parents
        if not (between or inside or path.name.startswith("<frozen")):
            place = f" ({path.name}, line {trace.tb_lineno})"
        trace = trace.tb_next
    return words + place
