"""Products with sparse matrices of SciPy's format CSR, which are never made dense."""

from __future__ import annotations

from typing import Any

import numpy as np

from npnet.typing import Array


def transposed_product(a: Array, x: Any) -> Array:
    """Return a^T x as an array, for an array a of shape (m, k) and a sparse x of shape (m, n).

    Examples
    --------
    >>> from scipy.sparse import csr_array
    >>> transposed_product(np.ones((2, 1)), csr_array([[1.0, 0.0, 2.0], [0.0, 0.0, 3.0]]))
    array([[1., 0., 5.]])
    """
    # With the columns that occur alone: SciPy gives the transposed product of all columns, and
    # to turn a large one round takes longer than anything else.
    occurs = np.zeros(x.shape[1], bool)
    occurs[x.indices] = True
    columns = np.flatnonzero(occurs)
    number = np.cumsum(occurs, dtype=x.indices.dtype) - 1
    part = type(x)((x.data, number[x.indices], x.indptr), shape=(x.shape[0], len(columns)))
    product = np.zeros((a.shape[1], x.shape[1]), a.dtype)
    product[:, columns] = (part.T @ a).T
    return product
