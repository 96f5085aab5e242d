"""InstanceNorm1d, InstanceNorm2d and InstanceNorm3d, which normalise channels of samples."""

from __future__ import annotations

import numpy as np

from npnet.channel_norm import TrackedNorm
from npnet.typing import Array, DtypeLike


class _InstanceNorm(TrackedNorm):
    """What all of them share: statistics of each sample."""

    _one_value = "with one value in a channel of a sample there is no variance"

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        *,
        bias: bool = True,
        dtype: DtypeLike = np.float32,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, bias, dtype)

    def _sets(self, n: int, c: int, numbers: int) -> tuple[int, int, int]:
        return 1, n * c, numbers

    def _track(self, mean: Array, var: Array, count: int) -> None:
        if count and mean.size and self.momentum is not None:
            pairs = np.array([mean, var * (count / (count - 1))])
            mean, var = pairs.reshape(2, -1, self.num_features).mean(axis=1)
            self._move(mean, var, self.momentum)


class InstanceNorm1d(_InstanceNorm):
    """Normalise each channel of each sample: y = (x - mean) / sqrt(var + eps) * weight + bias.

    Mean and variance are those of one channel of one sample. With running statistics, passes that
    are not recorded in training mode take those, which move as in `BatchNorm1d`, towards the mean
    of the samples' statistics.

    Parameters
    ----------
    num_features : int
        Number of channels, c.
    eps : float
        Added to the variance, not negative.
    momentum : float or None
        How far the running statistics move, from 0 to 1; None leaves them where they are.
    affine : bool
        Whether there are a weight and a bias.
    track_running_stats : bool
        Whether there are running statistics.
    bias : bool
        False leaves the bias out.
    dtype : dtype
        Of parameters and running statistics, and so of the output.

    Attributes
    ----------
    weight, bias : Parameter, shape (c,), or None
        They start at 1 and 0.
    running_mean, running_var : ndarray, shape (c,), or None
        Buffers, which start at 0 and 1.
    num_batches_tracked : ndarray of int64, shape (), or None
        Buffer, which stays 0 as in PyTorch.

    Raises
    ------
    ArgumentError
        If an argument is out of its range.
    ShapeError
        In a call, if the input is neither (n, c, length) nor (c, length), or a channel that is
        normalised by itself has one value.

    References
    ----------
    Ulyanov, Vedaldi, Lempitsky, "Instance normalization", 2016; ``torch.nn.InstanceNorm1d``.

    Examples
    --------
    >>> import npnet
    >>> npnet.InstanceNorm1d(2)([[[1.0, 3.0], [5.0, 9.0]]]).round(3).tolist()
    [[[-1.0, 1.0], [-1.0, 1.0]]]
    """

    _inputs = ("(n, {0}, length)", "({0}, length)")
    _axes_of_sample = 2


class InstanceNorm2d(_InstanceNorm):
    """Normalise each channel of each image, as `InstanceNorm1d`, which has the arguments.

    Raises
    ------
    ShapeError
        In a call, if the input is neither (n, c, height, width) nor (c, height, width), or a
        channel that is normalised by itself has one value.

    References
    ----------
    Ulyanov, Vedaldi, Lempitsky, "Instance normalization", 2016; ``torch.nn.InstanceNorm2d``.

    Examples
    --------
    >>> import numpy as np, npnet
    >>> npnet.InstanceNorm2d(3)(np.ones((2, 3, 4, 4))).shape
    (2, 3, 4, 4)
    """

    _inputs = ("(n, {0}, height, width)", "({0}, height, width)")
    _axes_of_sample = 3


class InstanceNorm3d(_InstanceNorm):
    """Normalise each channel of each volume, as `InstanceNorm1d`, which has the arguments.

    Raises
    ------
    ShapeError
        In a call, if the input is neither (n, c, depth, height, width) nor (c, depth, height,
        width), or a channel that is normalised by itself has one value.

    References
    ----------
    Ulyanov, Vedaldi, Lempitsky, "Instance normalization", 2016; ``torch.nn.InstanceNorm3d``.

    Examples
    --------
    >>> import numpy as np, npnet
    >>> npnet.InstanceNorm3d(3)(np.ones((3, 4, 4, 4))).shape
    (3, 4, 4, 4)
    """

    _inputs = ("(n, {0}, depth, height, width)", "({0}, depth, height, width)")
    _axes_of_sample = 4
