import hashlib
import io
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from npnet.datasets import download
from npnet.datasets.download import Source, locate
from npnet.errors import ArgumentError, DataError

CONTENT = {"a.bin": b"first file" * 20_000, "b.bin": b"second file"}
CHECKSUMS = {name: hashlib.sha256(content).hexdigest() for name, content in CONTENT.items()}

pytestmark = pytest.mark.usefixtures("no_data_around")


class Handler(BaseHTTPRequestHandler):
    """The first part of the path says what goes wrong, the second which file is asked for."""

    def do_GET(self):
        _, fault, name = self.path.split("/")
        self.server.requests.append((fault, name))
        content = CONTENT[name]
        if fault == "missing":
            self.send_error(404)
            return
        self.send_response(200)
        if fault != "unannounced":
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if fault == "altered":
            content = content[:-1] + b"!"
        elif fault == "cut":
            content = content[: len(content) // 2]
        elif fault == "stalled":
            self.server.released.wait(10)
            return
        self.wfile.write(content)

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.requests = []
        server.released = threading.Event()
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.released.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def source(server):
    def source(*faults):
        base = f"http://127.0.0.1:{server.server_port}"
        mirrors = tuple(f"{base}/{fault}/" for fault in faults)
        return Source("Toy", "toy", CHECKSUMS, mirrors)

    return source


def fill(folder, names=tuple(CONTENT)):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(CONTENT[name])
    return folder


def found(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_missing_files_are_downloaded_into_the_cache_once(source, server, tmp_path):
    place = locate(source("good"))
    assert place == tmp_path / "cache" / "toy"
    assert found(place) == CONTENT
    assert locate(source("good")) == place
    assert server.requests == [("good", "a.bin"), ("good", "b.bin")]


def test_a_folder_given_receives_the_download(source, tmp_path):
    place = locate(source("good"), tmp_path / "mine")
    assert place == tmp_path / "mine" / "toy"
    assert found(place) == CONTENT
    assert not (tmp_path / "cache").exists()


def test_an_unannounced_length_is_no_problem(source):
    assert found(locate(source("unannounced"))) == CONTENT


def test_only_what_is_missing_is_fetched(source, server, tmp_path):
    fill(tmp_path / "cache" / "toy", ["a.bin"])
    locate(source("good"))
    assert server.requests == [("good", "b.bin")]


@pytest.mark.parametrize("fault", ["missing", "altered", "cut"])
def test_the_next_mirror_helps_out(source, server, fault):
    place = locate(source(fault, "good"))
    assert found(place) == CONTENT
    assert server.requests[:2] == [(fault, "a.bin"), ("good", "a.bin")]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("missing", "HTTP Error 404"),
        ("altered", "wrong checksum, the file was thrown away"),
        ("cut", "ended after 100000 of 200000 bytes|IncompleteRead"),
        ("stalled", "timed out"),
    ],
)
def test_a_failed_download_leaves_nothing_and_says_why(source, fault, words, tmp_path, monkeypatch):
    if fault == "stalled":
        monkeypatch.setattr(download, "_TIMEOUT", 0.05)
    with pytest.raises(DataError, match=words) as caught:
        locate(source(fault, "missing"))
    assert found(tmp_path / "cache" / "toy") == {}
    text = str(caught.value)
    assert "/missing/a.bin: HTTP Error 404" in text
    for hint in "a.bin", "b.bin", str(tmp_path / "cache" / "toy"), "NPNET_DATA", "folder=":
        assert hint in text


def test_an_unreachable_server_is_named(source, server, tmp_path):
    unreachable = source("good")
    server.shutdown()
    server.server_close()
    with pytest.raises(DataError, match=r"(?s)download failed.*127\.0\.0\.1.*refused"):
        locate(unreachable)
    assert found(tmp_path / "cache" / "toy") == {}


def test_an_interruption_leaves_nothing(source, tmp_path, monkeypatch):
    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        locate(source("good"))
    assert found(tmp_path / "cache" / "toy") == {}


def test_without_permission_to_download_the_text_says_what_to_do(source, server, tmp_path):
    with pytest.raises(DataError, match="download=False") as caught:
        locate(source("good"), tmp_path / "mine", download=False)
    text = str(caught.value)
    for hint in "a.bin", "b.bin", str(tmp_path / "mine" / "toy"), "NPNET_DATA", "folder=":
        assert hint in text
    assert server.requests == []
    assert not (tmp_path / "mine").exists()


def test_a_place_that_cannot_be_created_is_named(source, tmp_path):
    (tmp_path / "occupied").write_text("a file, not a folder")
    with pytest.raises(DataError, match=r"occupied.* cannot be created"):
        locate(source("good"), tmp_path / "occupied")


@pytest.mark.skipif(os.name == "nt", reason="Windows takes the name")
def test_a_name_that_no_folder_can_have_is_named(source):
    with pytest.raises(DataError, match="cannot be created"):
        locate(source("good"), "\ud800")


@pytest.mark.parametrize("folder", [3, None.__class__, object(), "a\0b", ["mnist"]])
def test_a_folder_that_is_no_path_is_refused(source, folder):
    with pytest.raises(ArgumentError, match="expects folder to be a path"):
        locate(source("good"), folder)


@pytest.mark.parametrize("value", ["no", 0, None])
def test_download_is_true_or_false(source, value):
    with pytest.raises(ArgumentError, match="expects download to be True or False"):
        locate(source("good"), download=value)


def test_the_order_of_the_search(source, server, tmp_path, monkeypatch):
    data, given = tmp_path / "data", tmp_path / "given"
    monkeypatch.setenv("NPNET_DATA", str(data))
    toy = source("good")
    places = [tmp_path / "cache" / "toy", data / "toy", given, given / "toy"]
    for place in places:  # each next one comes before those that were filled earlier
        fill(place)
        assert locate(toy, given) == place
    assert locate(toy) == data / "toy"
    assert server.requests == []


def test_a_folder_with_some_of_the_files_is_passed_over(source, tmp_path, monkeypatch):
    monkeypatch.setenv("NPNET_DATA", str(tmp_path / "data"))
    fill(tmp_path / "given", ["a.bin"])
    whole = fill(tmp_path / "data" / "toy")
    assert locate(source("missing"), tmp_path / "given") == whole


def test_the_cache_follows_the_environment(source, tmp_path, monkeypatch):
    toy = source("good")
    monkeypatch.setenv("NPNET_CACHE", "")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    assert locate(toy) == tmp_path / "home" / ".cache" / "npnet" / "toy"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert locate(toy) == tmp_path / "xdg" / "npnet" / "toy"
    monkeypatch.setenv("NPNET_CACHE", "~/own")
    assert locate(toy) == tmp_path / "home" / "own" / "toy"


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_gets_a_progress_bar(source, monkeypatch):
    pytest.importorskip("tqdm")
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    locate(source("good"))
    assert "a.bin: 100%" in terminal.getvalue()
    assert "b.bin: 100%" in terminal.getvalue()


@pytest.mark.parametrize("stderr", [io.StringIO(), None])
def test_elsewhere_the_download_is_silent(source, monkeypatch, stderr):
    monkeypatch.setattr(sys, "stderr", stderr)
    locate(source("good"))
    assert stderr is None or stderr.getvalue() == ""


def test_without_tqdm_the_download_is_silent(source, monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    assert found(locate(source("good"))) == CONTENT
    assert terminal.getvalue() == ""
