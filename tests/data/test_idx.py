import gzip
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from npnet.data import read_idx
from npnet.errors import DataError

TYPES = {  # IDX type code and struct's letter, an encoder independent of NumPy's byte orders
    "uint8": (0x08, "B"),
    "int8": (0x09, "b"),
    "int16": (0x0B, "h"),
    "int32": (0x0C, "i"),
    "float32": (0x0D, "f"),
    "float64": (0x0E, "d"),
}


def encode(array):
    code, letter = TYPES[array.dtype.name]
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, code, array.ndim, *array.shape)
    return header + struct.pack(f">{array.size}{letter}", *array.ravel().tolist())


@pytest.fixture
def write(tmp_path):
    def write(content, name="file.idx"):
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write


@given(data=st.data(), name=st.sampled_from(sorted(TYPES)), pack=st.booleans())
def test_every_type_and_shape_comes_back(tmp_path_factory, data, name, pack):
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=3))
    array = data.draw(hnp.arrays(name, shape))
    path = tmp_path_factory.mktemp("idx") / "file"
    path.write_bytes(gzip.compress(encode(array)) if pack else encode(array))
    result = read_idx(path)
    assert result.dtype == array.dtype
    assert result.dtype.isnative
    assert np.array_equal(result, array, equal_nan=name.startswith("float"))
    assert result.shape == shape


def test_the_result_is_writable_and_owned(write):
    result = read_idx(write(encode(np.arange(3, dtype=np.uint8))))
    assert result.flags.writeable
    assert result.flags.owndata
    assert result.flags.c_contiguous
    result += 1
    assert np.array_equal(result, [1, 2, 3])


def test_compression_is_recognised_by_content(write):
    array = np.arange(6, dtype=np.int16).reshape(2, 3)
    assert np.array_equal(read_idx(write(encode(array), "plain.gz")), array)
    assert np.array_equal(read_idx(str(write(gzip.compress(encode(array)), "packed.idx"))), array)
    halves = gzip.compress(encode(array)[:9]) + gzip.compress(encode(array)[9:])
    assert np.array_equal(read_idx(write(halves)), array)


GOOD = encode(np.arange(24, dtype=np.int32).reshape(4, 6))
PACKED = gzip.compress(GOOD, mtime=0)


def test_every_truncation_is_noticed(write):
    for length in range(len(GOOD)):
        with pytest.raises(DataError, match=r"truncated|not an IDX file"):
            read_idx(write(GOOD[:length]))


def test_every_truncation_of_a_compressed_file_is_noticed(write):
    for length in range(2, len(PACKED)):
        with pytest.raises(DataError, match="truncated"):
            read_idx(write(PACKED[:length]))


def test_no_flipped_byte_of_a_compressed_file_passes(write):
    for position in range(10, len(PACKED)):  # the ten bytes before are gzip's header
        broken = bytearray(PACKED)
        broken[position] ^= 0xFF
        with pytest.raises(DataError, match=r"corrupt|truncated"):
            read_idx(write(bytes(broken)))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not an IDX file"),
        (b"\0\0\x08", "not an IDX file"),
        (b"<!DOCTYPE html><html>", r"not an IDX file: it begins with b'<!DO'"),
        (gzip.compress(b"something else", mtime=0), "not an IDX file"),
        (b"\0\0\x0a\x01\0\0\0\0", "type code 0x0A"),
        (b"\0\0\x08\x02\0\0\0\x01", "ends within its header"),
        (GOOD + b"\0", r"trailing bytes.*\(4, 6\) of int32, 108 bytes.*holds 109"),
        (PACKED + b"junk", "corrupt"),
        (GOOD[:-1], r"truncated: .*holds 107"),
        (b"\0\0\x0e\x03" + b"\xff" * 12 + b"\0" * 8, "truncated"),
        (b"\0\0\x08\xff" + b"\0\0\0\x01" * 255 + b"\0", "impossible shape"),
    ],
)
def test_bad_content_is_named(write, content, words):
    path = write(content)
    with pytest.raises(DataError, match=words) as caught:
        read_idx(path)
    assert str(path) in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(DataError, match=r"cannot read .*gone\.gz: No such file"):
        read_idx(tmp_path / "gone.gz")
    with pytest.raises(DataError, match="cannot read"):
        read_idx(tmp_path)
