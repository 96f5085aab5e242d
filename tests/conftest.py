"""What all tests share."""

import os
from pathlib import Path

if "PYTEST_XDIST_WORKER" in os.environ:  # several processes share the cores
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import hypothesis
import numpy as np
import pytest

import npnet

hypothesis.settings.register_profile("npnet", deadline=None, max_examples=50)
hypothesis.settings.load_profile("npnet")


@pytest.fixture
def rng():
    return np.random.default_rng(20240607)


@pytest.fixture(autouse=True)
def _seeded():
    npnet.manual_seed(0)


@pytest.fixture(scope="session")
def data_folder():
    """The folder of real data sets."""
    folder = os.environ.get("NPNET_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("needs real data: set NPNET_DATA to a folder with mnist/, fashion/, ...")
    return Path(folder)
