"""MNIST and Fashion-MNIST, from a folder or by download, in Keras's order."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from npnet.data.idx import read_idx
from npnet.datasets.download import Source, locate
from npnet.errors import DataError

if TYPE_CHECKING:
    import os
    from pathlib import Path

    from npnet.typing import Array

    Part: TypeAlias = tuple[Array, Array]

MNIST = Source(
    title="MNIST",
    folder="mnist",
    checksums={
        "train-images-idx3-ubyte.gz": (
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"
        ),
        "train-labels-idx1-ubyte.gz": (
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"
        ),
        "t10k-images-idx3-ubyte.gz": (
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"
        ),
        "t10k-labels-idx1-ubyte.gz": (
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"
        ),
    },
    mirrors=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
)

FASHION_MNIST = Source(
    title="Fashion-MNIST",
    folder="fashion",
    checksums={
        "train-images-idx3-ubyte.gz": (
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"
        ),
        "train-labels-idx1-ubyte.gz": (
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"
        ),
        "t10k-images-idx3-ubyte.gz": (
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"
        ),
        "t10k-labels-idx1-ubyte.gz": (
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"
        ),
    },
    mirrors=(
        # Its publisher's own address has no https; the checksum vouches for the content.
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
    ),
)


def mnist(folder: str | os.PathLike[str] | None = None, download: bool = True) -> tuple[Part, Part]:
    """Return MNIST: 70,000 handwritten digits of 28x28 pixels.

    The four files are looked for in `folder`, then in the folder that the environment variable
    ``NPNET_DATA`` names, then in the cache (``NPNET_CACHE``, else ``XDG_CACHE_HOME/npnet``, else
    ``~/.cache/npnet``), in each within a sub-folder ``mnist``; in `folder` they may also lie
    directly. If they are nowhere, they are downloaded once, 11 MB, and their checksums compared.

    Parameters
    ----------
    folder : str, path-like or None
        Where to look first, and to put what is downloaded. None puts it into the cache.
    download : bool
        Fetch what is missing.

    Returns
    -------
    (x_train, y_train) : ndarray of float32, (60000, 28, 28), and of int64, (60000,)
        Grey values in [0, 1], 1 for ink, and the digits.
    (x_test, y_test) : ndarray of float32, (10000, 28, 28), and of int64, (10000,)
        The test part.

    Raises
    ------
    DataError
        If files are missing, and cannot or may not be downloaded (the text says which files to
        put where), or are corrupt or another data set's.

    References
    ----------
    .. [1] Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to
       document recognition", Proc. IEEE 86(11), 1998.

    Examples
    --------
    >>> (x_train, y_train), (x_test, y_test) = mnist()  # doctest: +SKIP
    >>> x_train.shape, x_test.shape  # doctest: +SKIP
    ((60000, 28, 28), (10000, 28, 28))
    """
    return load(MNIST, folder, download)


def fashion_mnist(
    folder: str | os.PathLike[str] | None = None, download: bool = True
) -> tuple[Part, Part]:
    """Return Fashion-MNIST: 70,000 pictures of clothes of 28x28 pixels, in MNIST's format.

    The classes 0 to 9 are T-shirt/top, trouser, pullover, dress, coat, sandal, shirt, sneaker,
    bag and ankle boot. The files are looked for as `mnist` does, in sub-folders ``fashion``; the
    download is 31 MB.

    Parameters
    ----------
    folder : str, path-like or None
        Where to look first, and to put what is downloaded. None puts it into the cache.
    download : bool
        Fetch what is missing.

    Returns
    -------
    (x_train, y_train) : ndarray of float32, (60000, 28, 28), and of int64, (60000,)
        Grey values in [0, 1], and the classes.
    (x_test, y_test) : ndarray of float32, (10000, 28, 28), and of int64, (10000,)
        The test part.

    Raises
    ------
    DataError
        If files are missing, and cannot or may not be downloaded (the text says which files to
        put where), or are corrupt or another data set's.

    References
    ----------
    .. [1] H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking
       Machine Learning Algorithms", 2017. https://arxiv.org/abs/1708.07747

    Examples
    --------
    >>> (x_train, y_train), (x_test, y_test) = fashion_mnist()  # doctest: +SKIP
    >>> y_train[:5]  # doctest: +SKIP
    array([9, 0, 0, 3, 0])
    """
    return load(FASHION_MNIST, folder, download)


def load(
    source: Source, folder: str | os.PathLike[str] | None = None, download: bool = True
) -> tuple[Part, Part]:
    """Find and read a data set in MNIST's format; the arguments are those of `mnist`."""
    place = locate(source, folder, download)
    _refuse_namesake(source, place)
    return _read_part(place, "train"), _read_part(place, "t10k")


def _refuse_namesake(source: Source, place: Path) -> None:
    """Raise if the files are the other data set's, whose files have the same names."""
    import hashlib

    name = "t10k-labels-idx1-ubyte.gz"
    checksum = hashlib.sha256((place / name).read_bytes()).hexdigest()
    for other in (MNIST, FASHION_MNIST):
        if checksum == other.checksums[name] and checksum != source.checksums[name]:
            raise DataError(
                f"{place} holds {other.title}, not {source.title}, whose files have the same names;"
                f" keep each in its own folder: {other.folder}/ and {source.folder}/"
            )


def _read_part(place: Path, part: str) -> Part:
    """Read the images and labels of ``"train"`` or ``"t10k"``."""
    images_path = place / f"{part}-images-idx3-ubyte.gz"
    labels_path = place / f"{part}-labels-idx1-ubyte.gz"
    try:
        images, labels = read_idx(images_path), read_idx(labels_path)
    except DataError as error:
        raise DataError(f"{error}; delete the file to have it downloaded anew") from error
    if images.dtype != np.uint8 or images.ndim != 3 or images.shape[1:] != (28, 28):
        raise DataError(
            f"expected images of shape (n, 28, 28) and dtype uint8 in {images_path}, "
            f"got {images.shape} and {images.dtype}"
        )
    if labels.dtype != np.uint8 or labels.shape != images.shape[:1]:
        raise DataError(
            f"expected labels of shape {images.shape[:1]} and dtype uint8 in {labels_path}, "
            f"got {labels.shape} and {labels.dtype}"
        )
    # Divided in float32 from the start: in float64 the training images would take 376 MB.
    return np.divide(images, np.float32(255)), labels.astype(np.int64)
