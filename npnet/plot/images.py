"""`plot_images` draws small grey images side by side, with a title each."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from npnet.errors import DataError, ShapeError
from npnet.plot.figure import new_figure

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from npnet.typing import Array


def plot_images(
    images: Array,
    titles: Sequence[str] = (),
    path: str | os.PathLike[str] | None = None,
    columns: int = 8,
) -> Any:
    """Draw grey images in rows.

    Parameters
    ----------
    images : ndarray, shape (n, height, width)
        All on one grey scale, from the smallest value to the largest.
    titles : sequence of str
        One for each image, or none.
    path : str or path-like, optional
        Where to save the picture; the suffix decides on the format.
    columns : int
        Images in a row.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ShapeError
        If the images have another shape.
    DataError
        If the number of titles differs.
    MissingDependency
        If matplotlib is not installed.

    Examples
    --------
    >>> import npnet
    >>> x, y = npnet.datasets.digits()
    >>> figure = plot_images(x[:3], [str(digit) for digit in y[:3]])
    >>> [axes.get_title() for axes in figure.axes]
    ['0', '1', '2']
    """
    if images.ndim != 3:
        raise ShapeError(f"expected images of shape (n, height, width), got {images.shape}")
    if len(titles) not in (0, len(images)):
        raise DataError(f"expected a title for each of {len(images)} images, got {len(titles)}")
    columns = max(1, min(columns, len(images)))
    rows = max(1, math.ceil(len(images) / columns))
    figure = new_figure(1.3 * columns, 1.5 * rows)
    for i, image in enumerate(images):
        axes = figure.add_subplot(rows, columns, i + 1)
        axes.imshow(image, cmap="gray_r", vmin=images.min(), vmax=images.max())
        axes.set_title(titles[i] if len(titles) else "", fontsize=10)
        axes.set_axis_off()
    if path is not None:
        figure.savefig(path, dpi=150)
    return figure
