import gzip
import inspect
import os
from pathlib import Path

import numpy as np
import pytest

from npnet.datasets import fashion_mnist, mnist
from npnet.datasets.mnist import FASHION_MNIST, MNIST
from npnet.errors import DataError

LOADERS = {"mnist": mnist, "fashion": fashion_mnist}
DATA = os.environ.get("NPNET_DATA")


def has_files(name):
    return DATA and all((Path(DATA, name) / file).is_file() for file in MNIST.checksums)


def real(name):
    reason = f"NPNET_DATA names no folder with the files of {name}/"
    return pytest.param(name, marks=pytest.mark.skipif(not has_files(name), reason=reason))


def encode(array):
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    return gzip.compress(header + array.astype(np.uint8).tobytes())


def write_small(folder, n_train=7, n_test=3):
    """Write a data set in MNIST's format in which image i is filled with 10 i and has class i."""
    folder.mkdir(parents=True, exist_ok=True)
    for part, n in ("train", n_train), ("t10k", n_test):
        labels = np.arange(n, dtype=np.uint8)
        images = np.broadcast_to(10 * labels[:, None, None], (n, 28, 28))
        (folder / f"{part}-images-idx3-ubyte.gz").write_bytes(encode(images))
        (folder / f"{part}-labels-idx1-ubyte.gz").write_bytes(encode(labels))
    return folder


@pytest.mark.usefixtures("no_data_around")
@pytest.mark.parametrize("name", LOADERS)
@pytest.mark.parametrize("direct", [True, False])
def test_a_folder_serves_directly_or_by_its_sub_folder(tmp_path, name, direct):
    write_small(tmp_path if direct else tmp_path / name)
    (x_train, y_train), (x_test, y_test) = LOADERS[name](tmp_path, download=False)
    assert x_train.shape == (7, 28, 28)
    assert x_test.shape == (3, 28, 28)
    assert x_train.dtype == x_test.dtype == np.float32
    assert y_train.dtype == y_test.dtype == np.int64
    assert y_train.tolist() == list(range(7))
    assert y_test.tolist() == list(range(3))
    assert np.array_equal(x_train[:, 5, 5], np.float32(10 * np.arange(7) / 255))


@pytest.mark.usefixtures("no_data_around")
@pytest.mark.parametrize("name", LOADERS)
def test_the_environment_variable_names_the_data_folder(tmp_path, monkeypatch, name):
    write_small(tmp_path / name)
    monkeypatch.setenv("NPNET_DATA", str(tmp_path))
    (x_train, _), _ = LOADERS[name](download=False)
    assert len(x_train) == 7


@pytest.mark.usefixtures("no_data_around")
@pytest.mark.parametrize("name", LOADERS)
def test_missing_files_are_named_with_their_place(tmp_path, name):
    with pytest.raises(DataError) as caught:
        LOADERS[name](download=False)
    text = str(caught.value)
    for file in MNIST.checksums:
        assert file in text
    assert str(tmp_path / "cache" / name) in text
    assert "NPNET_DATA" in text


@pytest.mark.usefixtures("no_data_around")
@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("train-images", b"<html>", "train-images.* is not an IDX file.*delete the file"),
        ("t10k-images", encode(np.zeros((3, 28, 28)))[:-9], "t10k-images.* is truncated.*delete"),
        ("train-images", encode(np.zeros((7, 8, 8))), r"\(n, 28, 28\).*train-images"),
        ("t10k-images", encode(np.zeros((4, 28, 28))), r"shape \(4,\).*t10k-labels.*got \(3,\)"),
        ("train-labels", encode(np.zeros((7, 1))), r"shape \(7,\).*train-labels.*got \(7, 1\)"),
    ],
    ids=["no IDX", "truncated", "8x8", "more images", "column"],
)
def test_bad_files_are_named(tmp_path, file, content, words):
    write_small(tmp_path)
    (path,) = tmp_path.glob(f"{file}*")
    path.write_bytes(content)
    with pytest.raises(DataError, match=words):
        mnist(tmp_path)


def test_the_signatures_are_alike():
    assert inspect.signature(mnist) == inspect.signature(fashion_mnist)
    assert MNIST.checksums.keys() == FASHION_MNIST.checksums.keys()


@pytest.mark.parametrize("name", [real("mnist"), real("fashion")])
def test_the_other_data_set_in_the_folder_is_noticed(name):
    other = {"mnist": fashion_mnist, "fashion": mnist}[name]
    with pytest.raises(DataError, match=r"holds .*MNIST, not .*MNIST"):
        other(Path(DATA, name))


PUBLISHED = {
    "mnist": (
        [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
        [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009],
        (0.1307, 0.3081),
    ),
    "fashion": ([6000] * 10, [1000] * 10, (0.2860, 0.3530)),
}


@pytest.mark.parametrize("name", [real("mnist"), real("fashion")])
def test_the_real_files_have_the_published_counts_and_moments(name):
    (x_train, y_train), (x_test, y_test) = LOADERS[name](download=False)
    train_counts, test_counts, moments = PUBLISHED[name]
    assert x_train.shape == (60_000, 28, 28)
    assert x_test.shape == (10_000, 28, 28)
    assert np.bincount(y_train).tolist() == train_counts
    assert np.bincount(y_test).tolist() == test_counts
    assert (x_train.min(), x_train.max()) == (0, 1)
    mean = x_train.mean(dtype=np.float64)
    std = np.sqrt(np.square(x_train).mean(dtype=np.float64) - mean**2)
    assert np.allclose((mean, std), moments, rtol=0, atol=5e-5)
