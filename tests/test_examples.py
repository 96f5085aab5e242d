"""The examples run and reach what they promise (with fewer epochs where that is enough)."""

import importlib
import re
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.fixture(autouse=True)
def _path(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    yield
    for script in EXAMPLES.glob("*.py"):
        sys.modules.pop(script.stem, None)


def example(name):
    return importlib.import_module(name).main


def test_digits_are_learned_saved_and_read_again(tmp_path, capsys):
    accuracy = example("digits_mlp")(60, tmp_path)
    assert accuracy >= 0.97
    again = example("predict_digits")(tmp_path / "digits.npz", 2)
    assert again == pytest.approx(accuracy)
    assert "this is a" in capsys.readouterr().out


def test_explicit_loop():
    assert example("explicit_loop")(30) >= 0.96


def test_regression(tmp_path):
    assert example("regression")(500, tmp_path)["r2"] > 0.95


def test_custom_layer(capsys):
    example("custom_layer")()
    assert capsys.readouterr().out


def test_a_network_removes_more_noise_than_an_average():
    assert example("signal_conv1d")(4, 0) <= 0.82


@pytest.mark.parametrize(
    ("recipe", "accuracy"), [("adam", 0.9), ("sgd", 0.9), ("dropout", 0.9), ("fashion", 0.75)]
)
def test_one_epoch_of_published_recipes(data_folder, recipe, accuracy):
    assert example("published_results")([recipe], [0], 1, str(data_folder))[recipe] > accuracy


def test_sms_spam_is_found_without_a_dense_matrix(data_folder, capsys):
    if not (data_folder / "sms").is_dir():
        pytest.skip("needs real data: there is no sms/ in the folder that NPNET_DATA names")
    assert example("sms_spam")(8, 0, str(data_folder)) >= 0.98
    out = capsys.readouterr().out
    peak, dense = map(int, re.findall(r"(\d+) MB", out))
    assert peak < dense / 2


def test_sms_spam_by_embedding(data_folder):
    if not (data_folder / "sms").is_dir():
        pytest.skip("needs real data: there is no sms/ in the folder that NPNET_DATA names")
    assert example("sms_embedding")(8, 0, str(data_folder)) >= 0.98


def test_sms_spam_is_read_by_a_gru(data_folder):
    if not (data_folder / "sms").is_dir():
        pytest.skip("needs real data: there is no sms/ in the folder that NPNET_DATA names")
    assert example("sms_gru")(3, 0, str(data_folder)) >= 0.98


@pytest.mark.parametrize("folder", [None, "nowhere"])
def test_sms_spam_says_where_it_looks_for_data(folder, monkeypatch):
    monkeypatch.delenv("NPNET_DATA", raising=False)
    with pytest.raises(SystemExit, match="NPNET_DATA is not set" if folder is None else "nowhere"):
        example("sms_spam")(1, 0, folder)


def test_attention_learns_to_sort(capsys):
    assert example("attention_sort")(400) > 0.9
    assert "without a mistake" in capsys.readouterr().out
