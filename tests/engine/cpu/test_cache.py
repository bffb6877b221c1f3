"""The cache of compiled code: found again, rebuilt when damaged, bounded, trusted only if private, never in the way."""

import ctypes
import hashlib
import os
import subprocess
import sys
import warnings
from dataclasses import replace

import pytest
import torch
from llvmlite import ir

from ostinato.engine.backends import default_target
from ostinato.engine.backends.cpu import compiler, disk
from ostinato.engine.backends.cpu import target as targets
from ostinato.errors import EngineWarning

I64 = ir.IntType(64)
TARGET = default_target(torch.device("cpu"))
posix = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="files have no owners here")
as_root = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give files away")


def module_that_returns(number, calls, name="answer"):
    def build():
        calls.append(number)
        module = compiler.new_module("test", TARGET)
        function = ir.Function(module, ir.FunctionType(I64, []), name)
        ir.IRBuilder(function.append_basic_block()).ret(I64(number))
        return module

    return build


def answer(key, number=1, calls=None, name="answer", target=TARGET):
    """What the function says, after it was compiled or found; nothing of it stays in memory."""
    code = compiler.compile_cached(
        key, module_that_returns(number, [] if calls is None else calls, name), [name], target
    )
    return ctypes.CFUNCTYPE(ctypes.c_int64)(code.addresses[name])()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("OSTINATO_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(disk, "_warned", set())
    return tmp_path / "cache"


def test_code_is_found_again_and_a_damaged_entry_is_made_anew(folder) -> None:
    calls: list[int] = []
    assert [answer("one", 1, calls) for _ in range(2)] == [1, 1]
    assert calls == [1]
    (entry,) = folder.glob("*.o")
    whole = entry.read_bytes()
    for damaged in (b"", whole[:20], whole[:40], whole[:-1], whole[:100] + b"x" + whole[101:], whole[32:]):
        entry.write_bytes(damaged)
        assert answer("one", 1, calls) == 1
        assert entry.read_bytes() == whole
    assert calls == [1] * 7
    answer("two", 2, calls)
    assert len(list(folder.glob("*.o"))) == 2


def test_an_entry_under_the_name_of_another_is_not_run(folder) -> None:
    assert answer("one", 1) == 1
    (first,) = folder.glob("*.o")
    assert answer("two", 2) == 2
    (second,) = set(folder.glob("*.o")) - {first}
    second.write_bytes(first.read_bytes())
    calls: list[int] = []
    assert answer("two", 2, calls) == 2
    assert calls == [2]


def test_an_entry_without_the_expected_function_is_made_anew(folder) -> None:
    assert answer("one", 1, name="other") == 1
    calls: list[int] = []
    assert answer("one", 5, calls) == 5
    assert answer("one", 5, calls) == 5
    assert calls == [5]


def test_a_key_has_the_processor_the_compiler_and_all_code_of_the_engine(folder, monkeypatch) -> None:
    calls: list[int] = []
    answer("one", 1, calls)
    for owner, name, value in (
        (targets.llvmlite, "__version__", "0.0"),
        (targets.llvm, "llvm_version_info", (1, 0, 0)),
        (compiler, "_own_digest", lambda: "another"),
    ):
        with monkeypatch.context() as changed:
            changed.setattr(owner, name, value)
            answer("one", 1, calls)
    answer("one", 1, calls, target=replace(TARGET, features=f"{TARGET.features},-sse4a"))
    answer("one", 1, calls, target=replace(TARGET, fused=False))
    assert len(calls) == 6
    assert len(list(folder.glob("*.o"))) == 6
    monkeypatch.setattr(compiler, "_own_digest", lambda: None)  # no sources to be read: nothing is kept
    answer("two", 2, calls)
    assert len(list(folder.glob("*.o"))) == 6


def test_the_cache_is_bounded_and_drops_what_was_unused_for_longest(folder, monkeypatch) -> None:
    monkeypatch.setattr(disk, "_CACHE_LIMIT_BYTES", 3000)
    monkeypatch.setattr(disk, "_SHRUNK_AT", 1)
    for number in range(8):
        answer(str(number), number)
        for place, entry in enumerate(sorted(folder.glob("*.o"), key=lambda path: path.stat().st_mtime_ns)):
            os.utime(entry, (place, place))
    assert 0 < sum(entry.stat().st_size for entry in folder.glob("*.o")) <= 3000


def test_the_cache_is_looked_through_now_and_then_and_not_at_every_object(folder, monkeypatch) -> None:
    looked = []
    monkeypatch.setattr(disk, "_shrink", looked.append)
    for number in range(2000):
        disk.write_object(hashlib.sha256(str(number).encode()).hexdigest(), b"")
    assert 10 <= len(looked) <= 80


@posix
def test_an_entry_that_is_used_counts_as_new(folder) -> None:
    answer("one")
    (entry,) = folder.glob("*.o")
    os.utime(entry, (1, 1))
    answer("one")
    assert entry.stat().st_mtime > 1000


def test_a_folder_that_cannot_be_written_and_no_folder_do_no_harm(tmp_path, monkeypatch) -> None:
    (tmp_path / "file").write_text("not a folder")
    for name in (str(tmp_path / "file"), str(tmp_path / "file" / "below"), "a\0b", ""):
        monkeypatch.setattr(disk.os, "environ", {"OSTINATO_CACHE_DIR": name})
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert answer("one") == 1
    assert (tmp_path / "file").read_text() == "not a folder"


def test_a_full_disk_does_no_harm(folder, monkeypatch) -> None:
    def full(path, content):
        raise OSError(28, "no space left on device")

    monkeypatch.setattr(disk, "write_atomically", full)
    assert answer("one") == 1
    assert not list(folder.glob("*.o"))


def test_a_user_without_a_home_has_no_cache(monkeypatch) -> None:
    def none():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(disk.os, "environ", {})
    monkeypatch.setattr(disk.Path, "home", none)
    assert disk.cache_folder() is None
    assert answer("one") == 1


@posix
def test_the_folder_is_made_for_this_user_alone(folder) -> None:
    before = os.umask(0)
    try:
        answer("one")
    finally:
        os.umask(before)
    assert folder.stat().st_mode & 0o777 == 0o700
    (entry,) = folder.glob("*.o")
    assert not entry.stat().st_mode & 0o022


@posix
def test_in_a_folder_that_others_can_write_to_there_is_a_private_one(folder) -> None:
    folder.mkdir()
    folder.chmod(0o1777)
    calls: list[int] = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert [answer("one", 1, calls) for _ in range(2)] == [1, 1]
    (inner,) = folder.iterdir()
    assert calls == [1]
    assert inner.stat().st_mode & 0o777 == 0o700
    # what lies outside of it was left there by anybody
    (entry,) = inner.glob("*.o")
    entry.rename(folder / entry.name)
    with pytest.warns(EngineWarning, match=r"other users can write") as caught:
        assert [answer("one", 1, calls) for _ in range(2)] == [1, 1]
    assert len(caught) == 1
    assert calls == [1, 1]


def _chmod(mode):
    return lambda path: path.chmod(mode)


def _give_away(path):
    os.chown(path, 54321, -1)


def _link(path):
    target = path.with_name(f"{path.name}.target")
    path.rename(target)
    path.symlink_to(target)


def _pipe(path):
    path.unlink()
    os.mkfifo(path)


FAULTS = [
    pytest.param("entry", _chmod(0o664), "other users can write", id="entry-of-the-group"),
    pytest.param("entry", _chmod(0o646), "other users can write", id="entry-of-all"),
    pytest.param("entry", _link, "symbolic link", id="entry-a-link"),
    pytest.param("entry", _pipe, "no ordinary file", id="entry-a-pipe"),
    pytest.param("entry", _give_away, "another user", id="entry-of-another", marks=as_root),
    pytest.param("folder", _link, "symbolic link", id="folder-a-link"),
    pytest.param("folder", _give_away, "another user", id="folder-of-another", marks=as_root),
]


@posix
@pytest.mark.parametrize(("which", "spoil", "why"), FAULTS)
def test_what_others_may_have_put_there_is_not_run_and_one_warning_names_it(folder, which, spoil, why) -> None:
    calls: list[int] = []
    answer("one", 1, calls)
    (entry,) = folder.glob("*.o")
    spoil(entry if which == "entry" else folder)
    with pytest.warns(EngineWarning, match=why) as caught:
        said = [answer("one", 1, calls), answer("one", 1, calls), answer("one", 1, calls), answer("two", 2, calls)]
    assert said == [1, 1, 1, 2]
    assert len(caught) == 1
    assert str(folder) in str(caught[0].message)
    assert "OSTINATO_CACHE_DIR" in str(caught[0].message)
    # a bad entry is replaced by a good one; a bad folder is not used at all
    assert calls == ([1, 1, 2] if which == "entry" else [1, 1, 1, 1, 2])


@as_root
def test_a_private_folder_that_another_made_first_is_not_used(folder) -> None:
    folder.mkdir()
    folder.chmod(0o1777)
    inner = folder / f"ostinato-{os.geteuid()}"
    inner.mkdir(mode=0o700)
    _give_away(inner)
    with pytest.warns(EngineWarning, match="another user"):
        assert answer("one") == 1
    assert not list(inner.iterdir())


def test_where_files_have_no_owners_the_cache_works(folder, monkeypatch) -> None:
    monkeypatch.setattr(disk, "_HAS_OWNERS", False)
    calls: list[int] = []
    assert [answer("one", 1, calls) for _ in range(2)] == [1, 1]
    assert calls == [1]


PROGRAM = """
import torch, ostinato
from ostinato.engine.backends.cpu import compiler
made = []
emit = compiler.emit_object
compiler.emit_object = lambda *given: made.append(1) or emit(*given)
torch.manual_seed(0)
ys, _ = ostinato.scan(torch.nn.GRUCell(3, 4), torch.ones(5, 2, 3))
ys.sum().backward()
print(len(made), float(ys.detach().sum()))
"""


def _processes(count):
    started = [
        subprocess.Popen([sys.executable, "-W", "error", "-c", PROGRAM], stdout=subprocess.PIPE, text=True)
        for _ in range(count)
    ]
    return [process.communicate()[0].split() for process in started], [process.returncode for process in started]


@pytest.mark.slow
@pytest.mark.ci
def test_a_second_process_compiles_nothing(folder) -> None:
    assert [_processes(1)[0][0][0] for _ in range(2)] == ["3", "0"]


@pytest.mark.slow
def test_eight_processes_on_an_empty_cache_all_give_the_same_numbers(folder) -> None:
    said, codes = _processes(8)
    assert codes == [0] * 8
    assert len({numbers for _, numbers in said}) == 1
    assert len(list(folder.iterdir())) == 3
    assert _processes(1)[0][0][0] == "0"
