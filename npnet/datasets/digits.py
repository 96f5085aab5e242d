"""The handwritten digits that are shipped inside the package, for a first run without downloads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from npnet.data.idx import read_idx

if TYPE_CHECKING:
    from npnet.typing import Array


def digits() -> tuple[Array, Array]:
    """Return 1,797 handwritten digits of 8x8 pixels.

    They are the test part of UCI's *Optical Recognition of Handwritten Digits*, under the licence
    CC BY 4.0; the attribution is in the package, ``npnet/datasets/files/DIGITS.txt``.

    Returns
    -------
    x : ndarray of float32, shape (1797, 8, 8)
        Grey values in [0, 1], 1 for ink.
    y : ndarray of int64, shape (1797,)
        The digits, 0 to 9.

    References
    ----------
    .. [1] E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine
       Learning Repository, 1998. https://doi.org/10.24432/C50P49

    Examples
    --------
    >>> x, y = digits()
    >>> x.shape, y[:10]
    ((1797, 8, 8), array([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]))
    """
    counts = _read("digits-images-idx3-ubyte.gz")  # painted ones of a 4x4 block, 0 to 16
    return np.divide(counts, np.float32(16)), _read("digits-labels-idx1-ubyte.gz").astype(np.int64)


def _read(name: str) -> Array:
    """Read an IDX file of the package."""
    from importlib.resources import as_file, files

    with as_file(files("npnet.datasets") / "files" / name) as path:
        return read_idx(path)
