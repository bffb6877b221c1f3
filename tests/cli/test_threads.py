"""How many threads a command takes: what it is told, else what is free."""

import os
import subprocess
import sys

import pytest

from ostinato.cli import main, threads

TOLD = (
    "import os; from ostinato.cli.threads import use_cores; use_cores({}); import torch; print(torch.get_num_threads())"
)


def _threads(wanted, **environment) -> int:
    clean = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    done = subprocess.run(
        [sys.executable, "-c", TOLD.format(wanted)], env={**clean, **environment}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    return int(done.stdout)


@pytest.mark.slow
@pytest.mark.ci
def test_what_is_said_is_taken_and_else_what_the_environment_says() -> None:
    assert _threads(2) == 2
    assert _threads(1, OMP_NUM_THREADS="2") == 1
    assert _threads(None, OMP_NUM_THREADS="2") == 2


@pytest.mark.parametrize(
    ("cores", "allowed", "busy", "free"), [(8, 8, 0, 8), (8, 8, 6, 2), (8, 8, 20, 1), (2, 2, 1, 1), (64, 2, 10, 2)]
)
def test_cores_that_others_have_are_left_to_them(monkeypatch, cores, allowed, busy, free) -> None:
    monkeypatch.setattr(threads.os, "cpu_count", lambda: cores)
    monkeypatch.setattr(threads, "_allowed", lambda: allowed)
    monkeypatch.setattr(threads, "_busy", lambda: busy)
    assert threads.free_cores() == free


def test_a_process_that_is_busy_is_counted() -> None:
    spin = "while True: pass"
    children = [subprocess.Popen([sys.executable, "-c", spin]) for _ in range(os.cpu_count() or 1)]
    try:
        assert threads.free_cores() == 1
    finally:
        for child in children:
            child.kill()
            child.wait()


def test_the_option_stands_before_or_behind_the_verb(capsys, monkeypatch) -> None:
    seen = []
    monkeypatch.setattr(sys.modules["ostinato.cli.main"], "use_cores", seen.append)
    for command in (["--threads", "3", "predict", "none"], ["predict", "none", "--threads", "3"], ["predict", "none"]):
        assert main(command) == 5
    assert seen == [3, 3, None]
    assert main(["predict", "none", "--threads", "0"]) == 2
    assert '"0" is no number of cores; expected 1 or more' in capsys.readouterr().err
