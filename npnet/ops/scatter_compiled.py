"""The loop of sums of rows by index."""

# mypy: allow-untyped-defs

from numba import intp

from npnet.ops.jit import loop


@loop(lambda t: (t[:, ::1], intp[::1], t[:, ::1]))
def add_at(table, index, values):
    rows, columns = table.shape
    if values.shape[0] != index.size or values.shape[1] != columns:
        return False
    for i in range(index.size):
        if index[i] < 0 or index[i] >= rows:
            return False
    for i in range(index.size):
        row = index[i]
        for j in range(columns):
            table[row, j] += values[i, j]
    return True
