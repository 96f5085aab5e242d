import subprocess
import sys

import numpy as np
import pytest

import npnet
from npnet.errors import ArgumentError, DataError, DtypeError, ShapeError
from npnet.plot import plot_curves, plot_images

pytest.importorskip("matplotlib")

FULL = {
    "epoch": [1, 2, 3],
    "loss": [2.0, 1.0, 0.5],
    "accuracy": [0.1, 0.5, 0.9],
    "val_loss": [float("nan"), 1.5, 1.0],
    "val_accuracy": [float("nan"), 0.4, 0.8],
    "lr": [0.1, 0.1, 0.1],
}


def test_a_panel_for_each_quantity_with_training_beside_validation():
    figure = plot_curves(FULL)
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss", "accuracy"]
    for axes in figure.axes:
        assert axes.get_xlabel() == "epoch"
        training, validation = axes.lines
        name = axes.get_ylabel()
        assert np.array_equal(training.get_xdata(), FULL["epoch"])
        assert np.array_equal(training.get_ydata(), FULL[name])
        assert np.array_equal(validation.get_ydata(), FULL[f"val_{name}"], equal_nan=True)
        legend = [text.get_text() for text in axes.get_legend().get_texts()]
        assert legend == ["training", "validation"]
        assert axes.get_yscale() == "linear"


def test_a_changing_rate_has_a_panel_and_a_wide_range_a_logarithmic_axis():
    columns = {"epoch": [1, 2], "loss": [100.0, 0.1], "lr": [0.1, 0.05]}
    loss, lr = plot_curves(columns).axes
    assert loss.get_yscale() == "log"
    assert lr.get_ylabel() == "learning rate"
    assert lr.get_yscale() == "linear"
    negative = plot_curves({"epoch": [1, 2], "loss": [100.0, -0.1]}).axes[0]
    assert negative.get_yscale() == "linear"


def test_a_single_epoch_is_visible():
    (axes,) = plot_curves({"epoch": [1], "loss": [1.0]}).axes
    assert axes.lines[0].get_marker() == "o"
    assert len(axes.lines) == 1


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_are_left_out(tmp_path, bad):
    figure = plot_curves({"epoch": [1, 2], "loss": [1.0, bad]}, tmp_path / "p.svg")
    assert (tmp_path / "p.svg").stat().st_size > 1000
    assert len(figure.axes) == 1


def test_nothing_to_plot():
    with pytest.raises(ArgumentError, match="no epoch to plot"):
        plot_curves({"epoch": []})
    with pytest.raises(ArgumentError, match="no column to plot"):
        plot_curves({"epoch": [1]})
    assert len(plot_curves({"epoch": [1, 2], "lr": [0.1, 0.1]}).axes) == 1


@pytest.mark.parametrize(
    ("columns", "error", "match"),
    [
        (None, ArgumentError, "columns to be a History"),
        ([1, 2], ArgumentError, "columns to be a History"),
        ({1: [2]}, ArgumentError, "columns to be a History"),
        ({"loss": [1.0]}, ArgumentError, r"with their 'epoch', got \['loss'\]"),
        ({"epoch": [1, 2], "loss": [1.0]}, DataError, "one value of each column for each epoch"),
        ({"epoch": 1, "loss": 1.0}, DataError, "one value"),
        ({"epoch": [1], "loss": ["a"]}, DtypeError, "loss: expected real numbers"),
        ({"epoch": [[1]], "loss": [[1.0]]}, DataError, "one value"),
    ],
)
def test_what_is_no_history_is_refused(columns, error, match):
    with pytest.raises(error, match=match):
        plot_curves(columns)


def test_paths_that_cannot_be_saved_are_refused_before_drawing(tmp_path):
    for path in 3, "", b"x", ["a.png"]:
        with pytest.raises(ArgumentError, match="plot_curves expects path to be a path"):
            plot_curves(FULL, path)
    with pytest.raises(ArgumentError, match=r"ends with .*\.png.* got '.*curves.xyz'"):
        plot_curves(FULL, str(tmp_path / "curves.xyz"))
    assert list(tmp_path.iterdir()) == []


def test_files_that_cannot_be_written(tmp_path):
    for draw, data in (plot_curves, FULL), (plot_images, np.zeros((1, 2, 2))):
        for name in "none/a.png", "a\0.png":
            with pytest.raises(DataError, match="^cannot write .*(No such file|null)"):
                draw(data, path=str(tmp_path / name))


def test_pyplot_is_not_even_imported(tmp_path):
    code = (
        "import sys, npnet.plot\n"
        "assert 'matplotlib' not in sys.modules\n"
        f"npnet.plot.plot_curves({{'epoch': [1], 'loss': [1.0]}}, {str(tmp_path / 'p.png')!r})\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    environment = {"PYTHONPATH": str(npnet.__path__[0]) + "/..", "HOME": str(tmp_path)}
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment
    )
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "p.png").exists()


def test_images_are_drawn_on_one_scale():
    images = np.arange(24).reshape(2, 3, 4)
    figure = plot_images(images.tolist(), ["a", 7], columns=1)
    assert [axes.get_title() for axes in figure.axes] == ["a", "7"]
    for axes, image in zip(figure.axes, images, strict=True):
        assert axes.images[0].get_clim() == (0, 23)
        assert np.array_equal(axes.images[0].get_array(), image)
    spoilt = images.astype(float)
    spoilt[0, 0, 0] = np.nan
    assert plot_images(spoilt).axes[0].images[0].get_clim() == (1, 23)
    plot_images(images > 3)


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"images": np.zeros((3, 4))}, ShapeError, r"images of shape \(n, height, width\)"),
        ({"images": 3}, ShapeError, "images of shape"),
        ({"images": None}, DtypeError, "images: expected real numbers"),
        ({"images": np.zeros((0, 2, 2))}, DataError, "at least one image"),
        ({"titles": "ab"}, ArgumentError, "titles to be a list of strings, got 'ab'"),
        ({"titles": 3}, ArgumentError, "titles to be a list"),
        ({"titles": ["a"]}, DataError, "a title for each of 2 images, got 1"),
        ({"columns": 0}, ArgumentError, "columns to be a positive integer"),
        ({"columns": "3"}, ArgumentError, "columns to be a positive integer"),
        ({"path": 3}, ArgumentError, "path to be a path"),
        ({"path": "a.xyz"}, ArgumentError, "a path that ends with"),
    ],
)
def test_bad_arguments_of_images(arguments, error, match):
    with pytest.raises(error, match=match):
        plot_images(**{"images": np.zeros((2, 3, 3)), **arguments})
