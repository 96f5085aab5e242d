"""Data that is refused: the text says what is in it, and the fix in it works when pasted."""

import datetime
import decimal
import re

import numpy as np
import pytest

import npnet
from npnet.convert import real_array
from npnet.data import DataLoader, train_test_split
from npnet.errors import ArgumentError, DataError, DtypeError, NpnetError, ShapeError


def mended(value, name, **modules):
    """Run the fix that the refusal of `value` gives, until it is taken; return array and texts."""
    texts = []
    for _ in range(3):
        try:
            return real_array(value, name), " | ".join(texts)
        except NpnetError as error:
            texts.append(str(error))
        fix = re.search(rf"(names, )?\b{name}(\[[^]]*\])? = .*$", texts[-1])
        assert fix, texts[-1]
        scope = {name: value, "np": np, **modules}
        exec(fix[0], scope)
        value = scope[name]
    raise AssertionError(texts)


# --- arrays and lists

DAYS = [datetime.date(2020, 1, 1), datetime.date(2021, 1, 1)]


@pytest.mark.parametrize(
    ("value", "words", "expected"),
    [
        (["b", "a", "b"], "dtype <U1, which holds text such as 'b'", [1, 0, 1]),
        (np.array([b"a", b"b"]), "text such as b'a'", [0, 1]),
        (np.array(["u", "v"], np.dtypes.StringDType()), "text such as 'u'", [0, 1]),
        (np.array(["a", "b", None], object), "text such as 'a'", [1, 2, 0]),
        ([1, "a"], "text such as 'a'", [0, 1]),
        (["1", "2.5"], "holds numbers as text", [1, 2.5]),
        ([["1", "2"], ["3", "4"]], "holds numbers as text", [[1, 2], [3, 4]]),
        ([[7, "Rome"], [8, "Oslo"]], r"'Rome'; number the strings of columns \[1\]",
         [[7, 1], [8, 0]]),
        (np.array([["u", 7, "a"], ["v", 8, "a"]], object), r"of columns \[0, 2\]",
         [[0, 7, 0], [1, 8, 0]]),
        ([[1, 2], [3, None]], r"holds None at \[1, 1\]; put 0 there", [[1, 2], [3, 0]]),
        ([None, None], r"holds None at \[0\]", [0, 0]),
        (np.ones((2, 2), object), "holds numbers as Python objects", np.ones((2, 2))),
        ([2**70], "holds numbers as Python objects", [2.0**70]),
        ([decimal.Decimal("1.5")], "holds numbers as Python objects", [1.5]),
        (np.array(DAYS, "M8[ns]"), "holds dates such as 2020-01-01", [18262, 18628]),
        (np.array(["2020-01-01", "NaT"], "M8[s]"), r"holds NaT at \[1\]; days", [18262, 0]),
        (DAYS, "holds dates such as 2020-01-01; days since 1970", [18262, 18628]),
        ([DAYS[0], None], r"holds None at \[1\]; days since 1970", [18262, 0]),
        (np.array([1, 2], "m8[h]"), "durations such as 1 hours; seconds", [3600, 7200]),
        (np.array([1 + 2j]), "dtype complex128; split it into real and imaginary", [[1, 2]]),
        (np.array([(1, 2.0)], [("a", "f4"), ("b", "i4")]), "which holds named fields", [[1, 2]]),
        ((i for i in range(3)), "a generator", [0, 1, 2]),
        ({4}, "a set", [4]),
    ],
)  # fmt: skip
def test_the_text_says_what_is_there_and_its_fix_works(value, words, expected):
    array, text = mended(value, "x")
    assert re.search(rf"^x: expected real numbers, got .*{words}", text)
    assert np.array_equal(array, expected)


NAN = np.nan


@pytest.mark.parametrize(
    ("value", "words", "expected"),
    [
        (np.array([5.1, "?", 2.5, 7], object), "text such as '?'; make NaN", [5.1, NAN, 2.5, 7]),
        (["5.1", "?", "2.5"], "text such as '?'; make NaN", [5.1, NAN, 2.5]),
        ([[1, 2], ["n/a", 3], [2, 4]], "text such as 'n/a'; make NaN", [[1, 2], [NAN, 3], [2, 4]]),
        (np.array([1, None, 3, "-"], object), "text such as '-'; make NaN", [1, NAN, 3, NAN]),
        (np.array([["u", 7], ["v", "?"], ["u", 9]], object),
         "'u'; number the strings of columns [0], make NaN", [[0, 7], [1, NAN], [0, 9]]),
    ],
)  # fmt: skip
def test_numbers_stay_what_they_are_beside_a_little_text(value, words, expected):
    pd = pytest.importorskip("pandas")
    array, text = mended(value, "x", pd=pd)
    assert words in text
    assert np.array_equal(array, expected, equal_nan=True)
    if np.ndim(value) == 1:
        for column in pd.Series(value), pd.Series(value, name="a"), pd.Index(value):
            array, text = mended(column, "y", pd=pd)
            assert np.array_equal(array, expected, equal_nan=True)
    array, text = mended(pd.DataFrame(value), "x", pd=pd)
    if "columns [0]" in words:  # a column of each word, at the end
        expected = [[7, 1, 0], [NAN, 0, 1], [9, 1, 0]]
    assert np.array_equal(array, np.reshape(expected, (len(value), -1)), equal_nan=True)


def test_an_array_of_arrays_becomes_one():
    value = np.empty(2, object)
    value[:] = [np.ones(3), np.zeros(3)]
    assert np.array_equal(mended(value, "x")[0], [[1, 1, 1], [0, 0, 0]])


def test_a_sparse_matrix_becomes_an_array():
    sparse = pytest.importorskip("scipy.sparse")
    array, text = mended(sparse.csr_matrix(np.eye(3)), "x")
    assert "got a sparse csr_matrix; x = x.toarray()" in text
    assert np.array_equal(array, np.eye(3))


def itself():
    rows = []
    rows.append(rows)
    return rows


class Raising:
    def __init__(self, error):
        self.error = error

    def __array__(self, dtype=None, copy=None):
        raise self.error


class NoArray:
    def __array__(self, dtype=None, copy=None):
        return "no array"


class Endless:
    def __repr__(self):
        raise RuntimeError


@pytest.mark.parametrize(
    ("value", "error", "words"),
    [
        ([[1, 2], [3, 4], [5]], ShapeError, r"ragged.* x\[2\] has shape \(1,\), x\[0\] has \(2,\)"),
        ([[[1, 2], [3]], [[4]]], ShapeError, r"ragged sequence: x\[0\]\[1\] has shape \(1,\)"),
        (np.array([[1], [2, 3]], object), ShapeError, r"ragged sequence: x\[1\] has shape \(2,\)"),
        (itself(), DataError, "cannot read a list"),
        (None, DtypeError, "got None; pass an array"),
        ("text", DtypeError, "got 'text'; pass an array"),
        ({"x": [1]}, DtypeError, "got a dict; pass its arrays"),
        (Endless(), DtypeError, "got something of type Endless"),
        ([10**400], DtypeError, "objects such as 1000"),
        (np.zeros(2, "V3"), DtypeError, "got dtype .V3"),
        (np.ma.masked_array([1.0], [True]), DtypeError, r"fill it first: .filled\(0\)"),
        (range(10**15), DataError, r"cannot read a range as an array \(MemoryError"),
        (NoArray(), DataError, "cannot read a NoArray as an array"),
    ],
)  # fmt: skip
def test_what_no_line_of_code_mends(value, error, words):
    with pytest.raises(error, match=f"^x: .*{words}"):
        real_array(value, "x")


@pytest.mark.parametrize(
    "reason", [ValueError("a"), MemoryError(), KeyError("k"), ZeroDivisionError(), RecursionError()]
)
def test_whatever_an_array_raises_is_the_cause_of_an_error_of_npnet_s(reason):
    model = npnet.Linear(2, 2)
    trainer = npnet.Trainer(model, npnet.MSELoss(), npnet.optim.SGD(model.parameters(), lr=0.1))
    value = Raising(reason)
    for call in (
        model,
        DataLoader,
        train_test_split,
        trainer.predict,
        npnet.data.one_hot,
        lambda v: trainer.fit(v, np.zeros((3, 2))),
        lambda v: trainer.evaluate(np.zeros((3, 2)), v),
        lambda v: npnet.MSELoss()(np.zeros(2), v),
    ):
        with pytest.raises(DataError, match="cannot read a Raising as an array") as caught:
            call(value)
        assert caught.value.__cause__ is reason


def test_a_recorded_pass_that_was_not_unpacked():
    model = npnet.Linear(2, 2)
    trainer = npnet.Trainer(model, npnet.MSELoss(), npnet.optim.SGD(model.parameters(), lr=0.1))
    out, y = model.record(np.ones((3, 2))), np.zeros((3, 2))
    for call in (
        lambda: model(out),
        lambda: npnet.MSELoss()(out, y),
        lambda: trainer.fit(out, y),
        lambda: trainer.fit(y, out),
        lambda: trainer.predict(out),
        lambda: npnet.data.one_hot(out),
    ):
        with pytest.raises(ArgumentError, match=r"y, tape = model.record\(x\)"):
            call()


# --- tensors


def test_tensors():
    torch = pytest.importorskip("torch")
    t = torch.arange(3.0, dtype=torch.float64)
    assert np.array_equal(real_array(t, "x"), [0, 1, 2])
    assert npnet.MSELoss().value_and_grad(t, t)[1].dtype == np.float64
    assert npnet.MSELoss()((t, t), np.zeros((2, 3))) == pytest.approx(5 / 3)
    array, text = mended(t.requires_grad_(), "x")
    assert "cannot read a Tensor as an array" in text
    assert np.array_equal(array, [0, 1, 2])
    with pytest.raises(DataError, match=r"on the device meta: x = x.cpu\(\).numpy\(\)"):
        real_array(torch.ones(2, device="meta"), "x")
    with pytest.raises(DataError, match="BFloat16"):
        real_array(torch.ones(2, dtype=torch.bfloat16), "x")


# --- tables


@pytest.fixture
def pd():
    return pytest.importorskip("pandas")


def columns(pd):
    """Columns with what the text says of each, and what the fix makes of it beside a number."""
    day = pd.Timestamp("2020-01-01")
    return {
        "text": (["Oslo", "Rome"], "holds text such as 'Oslo'", [[1, 0], [0, 1]]),
        "text, missing": (["Oslo", None], "holds text such as 'Oslo'", [[1], [0]]),
        "categories": (pd.Categorical(["u", "v"]), "text such as 'u'", [[1, 0], [0, 1]]),
        "categories, missing": (pd.Categorical([None, "v"]), "text such as 'v'", [[0], [1]]),
        "codes, missing": (pd.Categorical([1, None]), "no value in row 1", [[1], [0]]),
        "Int64": (pd.array([None, 2], "Int64"), "no value in row 0", [[0], [2]]),
        "Float64": (pd.array([1.5, None], "Float64"), "no value in row 1", [[1.5], [0]]),
        "boolean": (pd.array([True, None], "boolean"), "no value in row 1", [[1], [0]]),
        "objects": (np.array([1, 2.5], object), "holds numbers as Python objects", [[1], [2.5]]),
        "objects, None": (np.array([True, None], object), "no value in row 1", [[1], [0]]),
        "objects, NA": (np.array([7, pd.NA], object), "no value in row 1", [[7], [0]]),
        "decimals": ([decimal.Decimal("1.5")] * 2, "as Python objects", [[1.5], [1.5]]),
        "numbers as text": (["1", "2.5"], "holds numbers as text", [[1], [2.5]]),
        "numbers as text, missing": (["1", None], "no value in row 1", [[1], [0]]),
        "dates": ([day, day], "holds dates such as 2020-01-01 00:00:00", [[18262], [18262]]),
        "dates, missing": ([day, None], "no value in row 1", [[18262], [18262]]),
        "dates in a zone": ([day.tz_localize("UTC")] * 2, "holds dates", [[18262], [18262]]),
        "dates as objects": (np.array(DAYS, object), "holds dates", [[18262], [18628]]),
        "dates as objects, missing": (np.array([*DAYS[:1], None]), "row 1", [[18262], [18262]]),
        "durations": (pd.to_timedelta(["1h", "2h"]), "holds durations", [[3600], [7200]]),
        "lists": ([[1], [2, 3]], r"holds objects such as \[1\]", [[], []]),
        "intervals": (pd.interval_range(0, 2), "holds objects such as Interval", [[], []]),
    }  # fmt: skip


COLUMNS = (
    "text", "text, missing", "categories", "categories, missing", "codes, missing",
    "Int64", "Float64", "boolean", "objects", "objects, None", "objects, NA", "decimals",
    "numbers as text", "numbers as text, missing", "dates", "dates, missing", "dates in a zone",
    "dates as objects", "dates as objects, missing", "durations", "lists", "intervals",
)  # fmt: skip


@pytest.mark.parametrize("name", COLUMNS)
def test_a_column_is_named_and_its_fix_works(pd, name):
    values, words, expected = columns(pd)[name]
    table = pd.DataFrame({"n": [7.0, 8.0], "my column": values})
    array, text = mended(table, "x", pd=pd)
    assert re.search(f"^x: expected real numbers, got column 'my column', which .*{words}", text)
    assert np.array_equal(array, np.column_stack(([7, 8], *np.transpose(expected))))


def test_all_columns_of_text_are_mended_at_once(pd):
    table = pd.DataFrame({"a": ["u", "v"], "b": [1, 2], "c": pd.Categorical(["u", "u"])})
    array, text = mended(table, "x", pd=pd)
    assert " | " not in text
    assert np.array_equal(array, [[1, 1, 0, 1], [2, 0, 1, 1]])


@pytest.mark.parametrize(
    ("values", "dtype", "words", "expected"),
    [
        (["b", "a"], None, "text such as 'b'", [1, 0]),
        (["b", None, "b"], None, "text such as 'b'", [0, 1, 0]),
        (["b", "a"], "category", "text such as 'b'", [1, 0]),
        (["b", None, "b"], "category", "text such as 'b'", [0, 1, 0]),
        ([1, None], "Int64", "no value in row 1", [1, 0]),
        ([True, None], "boolean", "no value in row 1", [1, 0]),
        ([[1, 2], [3, 4]], None, r"objects such as \[1, 2\]", [[1, 2], [3, 4]]),
    ],
)
@pytest.mark.parametrize("name", [None, "species"])
def test_a_series_is_mended_too(pd, values, dtype, words, expected, name):
    series = pd.Series(values, dtype=dtype, name=name)
    array, text = mended(series, "y", pd=pd)
    who = "dtype" if name is None else "column 'species', which"
    assert re.search(f"^y: expected real numbers, got {who} .*{words}", text)
    assert np.array_equal(array, expected)
    if isinstance(values[0], str):
        assert np.array_equal(mended(pd.Index(series), "y", pd=pd)[0], expected)


def test_real_columns_of_any_dtype_are_numbers(pd):
    table = pd.DataFrame({
        "float": [0.5, np.nan], "int": [1, 2], "bool": [True, False],
        "Int64": pd.array([1, 2], "Int64"), "Float64": pd.array([1.5, 2], "Float64"),
        "boolean": pd.array([True, False], "boolean"), "category": pd.Categorical([3, 4]),
        "sparse": pd.arrays.SparseArray([0.0, 1.0]),
    })  # fmt: skip
    expected = np.array([[0.5, 1, 1, 1, 1.5, 1, 3, 0], [np.nan, 2, 0, 2, 2, 0, 4, 1]])
    assert np.array_equal(real_array(table, "x"), expected, equal_nan=True)
    for i, name in enumerate(table):
        assert np.array_equal(real_array(table[name], "y"), expected[:, i], equal_nan=True)
    assert real_array(table[["int", "bool"]], "x").dtype == np.int64
    assert real_array(table[["Int64"]], "x").dtype == np.int64
    assert real_array(table[[]], "x").shape == (2, 0)
    floats = pd.DataFrame(np.ones((3, 2), np.float32))
    assert real_array(floats, "x").dtype == np.float32
    assert npnet.ReLU()(pd.DataFrame(np.ones((3, 2)))).dtype == np.float64


class Column:
    """A column of a nullable dtype as older versions of pandas have it: its array is of objects."""

    class dtype:
        numpy_dtype = np.dtype(np.int64)

    name, ndim = "n", 1

    def isna(self):
        return np.zeros(2, bool)

    def __array__(self, dtype=object, copy=None):
        return np.array([1, 2], object if dtype is None else dtype)


def test_a_nullable_column_without_gaps_is_read_in_its_own_dtype():
    assert real_array(Column(), "x").dtype == np.int64


def test_tables_are_data_everywhere(pd):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20, 3)), rng.integers(0, 2, 20)
    table = pd.DataFrame(x, columns=list("abc"), index=rng.permutation(20))
    labels = pd.Series(y, name="label", dtype="Int64", index=rng.permutation(20))
    npnet.manual_seed(0)
    model = npnet.Linear(3, 2)
    start = model.state_dict()
    losses = []
    for data in (x, y), (table, labels):
        model.load_state_dict(start)
        optimizer = npnet.optim.SGD(model.parameters(), lr=0.1)
        trainer = npnet.Trainer(model, npnet.CrossEntropyLoss(), optimizer)
        losses.append(trainer.fit(*data, validation_split=0.2, epochs=2, rng=0)["loss"])
        assert np.allclose(trainer.predict(data[0]), trainer.predict(x), atol=1e-6)
        assert trainer.evaluate(*data)["loss"] == pytest.approx(trainer.evaluate(x, y)["loss"])
    assert losses[0] == pytest.approx(losses[1])
    for ours, theirs in zip(DataLoader((table, labels), 8), DataLoader((x, y), 8), strict=True):
        assert all(map(np.array_equal, ours, theirs))
    parts = train_test_split(table, labels, stratify=labels, rng=0)
    assert all(map(np.array_equal, parts, train_test_split(x, y, stratify=y, rng=0)))
    table["city"] = "Oslo"
    for call in (lambda: trainer.fit(table, labels), lambda: trainer.predict(table),
                 lambda: DataLoader((table, labels)), lambda: train_test_split(table)):  # fmt: skip
        with pytest.raises(DtypeError, match="column 'city', which holds text such as 'Oslo'"):
            call()
