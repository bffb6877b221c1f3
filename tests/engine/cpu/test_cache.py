"""The cache of compiled code: found again, rebuilt when damaged, bounded, and never in the way."""

import os
import subprocess
import sys

import pytest
from llvmlite import ir

from ostinato.engine.cpu import compiler

I64 = ir.IntType(64)


def module_that_returns(number, calls):
    def build():
        calls.append(number)
        module = compiler.new_module("test")
        function = ir.Function(module, ir.FunctionType(I64, []), "answer")
        ir.IRBuilder(function.append_basic_block()).ret(I64(number))
        return module

    return build


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("OSTINATO_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_code_is_found_again_and_a_damaged_entry_is_made_anew(folder) -> None:
    calls: list[int] = []
    for _ in range(2):
        assert compiler.compile_cached("one", module_that_returns(1, calls), ["answer"])["answer"]
    assert calls == [1]
    (entry,) = folder.glob("*.o")
    whole = entry.read_bytes()
    for damaged in (b"", whole[:40], whole[:-1], whole[:100] + b"x" + whole[101:]):
        entry.write_bytes(damaged)
        compiler.compile_cached("one", module_that_returns(1, calls), ["answer"])
        assert entry.read_bytes() == whole
    assert calls == [1] * 5
    compiler.compile_cached("two", module_that_returns(2, calls), ["answer"])
    assert len(list(folder.glob("*.o"))) == 2


def test_the_cache_is_bounded_and_drops_what_was_written_longest_ago(folder, monkeypatch) -> None:
    monkeypatch.setattr(compiler, "_CACHE_LIMIT_BYTES", 3000)
    for number in range(8):
        compiler.compile_cached(str(number), module_that_returns(number, []), ["answer"])
        for place, entry in enumerate(sorted(folder.glob("*.o"), key=lambda path: path.stat().st_mtime_ns)):
            os.utime(entry, (place, place))
    assert 0 < sum(entry.stat().st_size for entry in folder.glob("*.o")) <= 3000


def test_a_folder_that_cannot_be_written_and_no_folder_do_no_harm(tmp_path, monkeypatch) -> None:
    (tmp_path / "file").write_text("not a folder")
    for name in (str(tmp_path / "file"), ""):
        monkeypatch.setenv("OSTINATO_CACHE_DIR", name)
        assert compiler.compile_cached("one", module_that_returns(1, []), ["answer"])["answer"]
    assert (tmp_path / "file").read_text() == "not a folder"


def test_a_second_process_compiles_nothing(folder) -> None:
    program = (
        "import torch, ostinato\n"
        "from ostinato.engine.cpu import compiler, kernels\n"
        "made = []\n"
        "emit = compiler.emit_object\n"
        "compiler.emit_object = lambda module: made.append(1) or emit(module)\n"
        "ys, _ = ostinato.scan(torch.nn.GRUCell(3, 4), torch.ones(5, 2, 3))\n"
        "ys.sum().backward()\n"
        "print(len(made))\n"
    )
    counts = [
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()
        for _ in range(2)
    ]
    assert counts == ["3", "0"]
