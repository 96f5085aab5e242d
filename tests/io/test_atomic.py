import gc
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from npnet.errors import DataError
from npnet.io import archive, atomic
from npnet.io.archive import read_archive, write_archive
from npnet.io.atomic import replace_file

ROOT = Path(atomic.__file__).parents[2]
fcntl = pytest.importorskip("fcntl")


def save(path, content=b"new"):
    with replace_file(str(path)) as file:
        file.write(content)


def temporary(folder):
    return [name for name in os.listdir(folder) if name.startswith(".npnet-")]


# A process that stops within a save, after as many bytes as it is told, and goes on when it may.
WRITER = """
import sys
from npnet.io.atomic import replace_file
with replace_file(sys.argv[1]) as file:
    file.write(b"x" * int(sys.argv[2]))
    file.flush()
    print("writing", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def writer(tmp_path):
    started = []

    def start(size=100_000):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path / "model"), str(size)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout.readline() == "writing\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("size", [0, 100_000])
def test_the_file_of_a_killed_process_is_swept_by_the_next_save(tmp_path, writer, size):
    process = writer(size)
    assert len(temporary(tmp_path)) == 1
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert len(temporary(tmp_path)) == 1
    save(tmp_path / "other")
    assert os.listdir(tmp_path) == ["other"]


def test_the_file_of_a_living_process_is_left_to_it(tmp_path, writer):
    process = writer()
    (mine,) = temporary(tmp_path)
    os.utime(tmp_path / mine, (0, 0))  # however old it is
    save(tmp_path / "model", b"first")
    assert temporary(tmp_path) == [mine]
    assert (tmp_path / "model").read_bytes() == b"first"
    process.communicate("go on\n")
    assert process.returncode == 0
    assert (tmp_path / "model").read_bytes() == b"x" * 100_000
    assert os.listdir(tmp_path) == ["model"]


def test_saves_within_a_save(tmp_path):
    with replace_file(str(tmp_path / "a")) as file:
        save(tmp_path / "b")
        save(tmp_path / "a", b"inner")
        file.write(b"outer")
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]
    assert (tmp_path / "a").read_bytes() == b"outer"


def test_many_threads_save_into_one_folder(tmp_path):
    problems = []
    start = threading.Barrier(6)

    def work(number):
        try:
            start.wait()
            for i in range(30):
                for name in ("shared", f"own{number}"):
                    write_archive(tmp_path / name, {"x": np.full(500, number)}, i)
                    with read_archive(tmp_path / name) as (arrays, _):
                        x = np.asarray(arrays["x"])
                        assert (x == x[0]).all()
        except BaseException as error:
            problems.append(error)
            raise

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems
    assert sorted(os.listdir(tmp_path)) == [*(f"own{i}" for i in range(6)), "shared"]


def test_a_file_swept_before_it_is_locked_is_made_again(tmp_path, monkeypatch):
    calls = []
    flock = fcntl.flock

    def flock_too_late(file, operation):
        calls.append(file.name)
        if len(calls) == 1:
            save(tmp_path / "other")  # another save comes between creation and lock
            assert not os.path.exists(calls[0])
        flock(file, operation)

    monkeypatch.setattr(fcntl, "flock", flock_too_late)
    save(tmp_path / "a")
    assert sorted(os.listdir(tmp_path)) == ["a", "other"]


def litter(folder, machine="elsewhere", hours=0.0):
    path = folder / f".npnet-{machine}-0123456789ab.tmp"
    path.write_bytes(b"x")
    then = time.time() - 3600 * hours
    os.utime(path, (then, then))
    return path


def test_files_of_other_machines_are_swept_when_they_are_a_day_old(tmp_path):
    path = litter(tmp_path, hours=23)
    save(tmp_path / "a")
    assert path.exists()
    litter(tmp_path, hours=25)
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        save(tmp_path / "a")
        assert path.exists()
    save(tmp_path / "a")
    assert not path.exists()


def test_without_locks_only_old_files_are_swept(tmp_path, monkeypatch):
    monkeypatch.setattr(atomic, "fcntl", None)
    here = os.uname().nodename.replace("-", "_").replace(".", "_")
    path = litter(tmp_path, here, hours=23)
    save(tmp_path / "a")
    assert path.exists()
    litter(tmp_path, here, hours=25)
    files = []

    def watched(name):
        original = getattr(os, name)

        def call(*paths):
            assert all(file.closed for file in files), "Windows moves and deletes no open file"
            original(*paths)

        return call

    opened = lambda *a: files.append(open(*a)) or files[-1]  # noqa: E731, SIM115
    monkeypatch.setattr(atomic, "open", opened, raising=False)
    monkeypatch.setattr(os, "replace", watched("replace"))
    monkeypatch.setattr(os, "unlink", watched("unlink"))
    save(tmp_path / "a")
    assert os.listdir(tmp_path) == ["a"]
    assert len(files) == 2
    assert (tmp_path / "a").read_bytes() == b"new"


def test_what_is_not_a_temporary_file_of_ours_is_left_alone(tmp_path):
    old = litter(tmp_path, hours=100)
    for name in (
        "my.tmp",
        ".npnet-notes.txt",
        ".npnet-x-0123456789ab.tmp.bak",
        ".npnet-x-short.tmp",
    ):
        old.with_name(name).write_bytes(b"precious")
    old.unlink()
    os.mkfifo(old)
    (tmp_path / "precious").write_bytes(b"precious")
    (tmp_path / ".npnet-x-aaaaaaaaaaaa.tmp").symlink_to(tmp_path / "precious")
    (tmp_path / ".npnet-x-bbbbbbbbbbbb.tmp").mkdir()
    before = {*os.listdir(tmp_path), "a"}
    for path in tmp_path.iterdir():
        os.utime(path, (0, 0), follow_symlinks=False)
    save(tmp_path / "a")
    assert set(os.listdir(tmp_path)) == before


@pytest.mark.parametrize("call", ["scandir", "unlink"])
def test_a_folder_that_cannot_be_swept_is_written_to(tmp_path, monkeypatch, call):
    path = litter(tmp_path, hours=25)

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, call, refuse)
    save(tmp_path / "a")
    monkeypatch.undo()
    assert path.exists()
    assert (tmp_path / "a").read_bytes() == b"new"


def test_file_systems_without_locks(tmp_path, monkeypatch):
    def refuse(file, operation):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)
    path = litter(tmp_path, hours=100)
    save(tmp_path / "a")
    assert sorted(os.listdir(tmp_path)) == [path.name, "a"]


# --- failures


def interrupted_at(moment, function):
    """Run a function with Ctrl-C at the n-th line of ours; return whether it came so far."""
    ours, count = {atomic.__file__, archive.__file__}, 0

    def trace(frame, event, argument):
        nonlocal count
        if frame.f_code.co_filename not in ours:
            return None
        if event == "line":
            count += 1
            if count == moment:
                sys.settrace(None)
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        function()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


# At the end of a with block a trace interrupts where Python does not: then files stay open.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_ctrl_c_anywhere_leaves_a_whole_file_and_no_litter(tmp_path):
    path = tmp_path / "a"
    versions = []
    for version in ({"x": np.ones(3)}, {"x": np.zeros(4), "y": np.ones(2)}):
        write_archive(path, version, {"n": 1})
        versions.append(path.read_bytes())
    old, new = versions
    seen, moment = set(), 1
    path.write_bytes(old)
    while interrupted_at(moment, lambda: write_archive(path, version, {"n": 1})):
        assert os.listdir(tmp_path) == ["a"], moment
        seen.add(path.read_bytes())
        path.write_bytes(old)
        moment += 1
    assert moment > 60
    assert seen == {old, new}
    gc.collect()  # while what was left open is ignored


def test_a_failing_block_leaves_the_old_file(tmp_path):
    save(tmp_path / "a", b"old")
    with pytest.raises(ZeroDivisionError), replace_file(str(tmp_path / "a")) as file:
        file.write(b"new")
        raise ZeroDivisionError
    assert (tmp_path / "a").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


def test_the_old_file_is_there_until_the_new_one_is_on_the_disk(tmp_path, monkeypatch):
    save(tmp_path / "a", b"old")
    events = []
    fsync = os.fsync

    def watched(descriptor):
        events.append((os.fstat(descriptor).st_size, (tmp_path / "a").read_bytes()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    save(tmp_path / "a", b"longer")
    assert events == [(6, b"old")]
    assert (tmp_path / "a").read_bytes() == b"longer"


def test_a_name_that_is_too_long(tmp_path):
    with pytest.raises(DataError, match="cannot write .*too long"):
        save(tmp_path / ("x" * 300))
    assert not os.listdir(tmp_path)
