"""`plot_images` draws small grey images side by side, with a title each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from npnet.arguments import refusal, whole_number
from npnet.convert import real_array
from npnet.errors import DataError, shape_error
from npnet.plot.figure import check_path, new_figure, save_figure

if TYPE_CHECKING:
    import os

    from npnet.typing import ArrayLike


def plot_images(
    images: ArrayLike,
    titles: Sequence[str] = (),
    path: str | os.PathLike[str] | None = None,
    columns: int = 8,
) -> Any:
    """Draw grey images in rows.

    Parameters
    ----------
    images : array_like, shape (n, height, width)
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
        If there is no pixel, the number of titles differs, or the file cannot be written.
    ArgumentError
        If another argument is of the wrong kind.
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
    pixels = real_array(images, "images")
    if pixels.ndim != 3:
        raise shape_error(None, "(n, height, width)", pixels.shape, what="images")
    if not pixels.size:
        raise DataError(f"expected at least one image, got shape {pixels.shape}")
    names: Any = titles
    several = isinstance(names, Sequence | np.ndarray) and not isinstance(names, str)
    if not several or getattr(names, "ndim", 1) != 1:
        raise refusal("plot_images", "titles", "a list of strings", titles)
    if len(titles) not in (0, len(pixels)):
        raise DataError(f"expected a title for each of {len(pixels)} images, got {len(titles)}")
    check_path("plot_images", path)
    columns = min(whole_number("plot_images", "columns", columns, 1), len(pixels))
    rows = math.ceil(len(pixels) / columns)
    finite = pixels[np.isfinite(pixels)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    figure = new_figure(1.3 * columns, 1.5 * rows)
    for i, image in enumerate(pixels):
        axes = figure.add_subplot(rows, columns, i + 1)
        axes.imshow(image, cmap="gray_r", vmin=low, vmax=high)
        axes.set_title(str(titles[i]) if len(titles) else "", fontsize=10)
        axes.set_axis_off()
    if path is not None:
        save_figure(figure, path)
    return figure
