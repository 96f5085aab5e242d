import pytest


@pytest.fixture
def no_data_around(monkeypatch, tmp_path):
    """Hide the user's own data sets and cache; the cache is ``tmp_path / "cache"``."""
    monkeypatch.delenv("NPNET_DATA", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("NPNET_CACHE", str(tmp_path / "cache"))
