"""Ctrl-C and SIGTERM at any moment of a fit: it stops, says how to resume, and resumes to the same bits."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from ostinato.cli import main
from ostinato.cli.interrupting import interruptible
from ostinato.training import checkpoint_path

ENDED = (130, -signal.SIGINT)  # Python itself may pass a signal on that came while a library was imported


def _command(folder: Path, out: str, *more: str) -> list[str]:
    options = ["--context", "24", "--segment", "6", "--hidden-size", "8", "--epochs", "40", "--patience", "none"]
    return [
        sys.executable, "-m", "ostinato", "fit", "forecast", str(folder / "load.csv"), "--horizon", "6",
        "--out", str(folder / out), "--no-report", "--no-progress", *options, *more,
    ]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    made = tmp_path_factory.mktemp("interrupts")
    times = np.datetime64("2022-01-01T00") + np.arange(600)
    values = np.round(50 + 10 * np.sin(np.arange(600) * np.pi / 12), 3)
    rows = [f"{time},{value}" for time, value in zip(times, values, strict=True)]
    (made / "load.csv").write_text("\n".join(["time,load", *rows]) + "\n")
    return made


def _weights(folder: Path) -> list[str]:
    return [path.name for path in folder.glob("weights-*")]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_at_any_moment_stops_a_fit_that_goes_on_to_the_same_bits(folder, number) -> None:
    whole = f"whole-{number}"
    began = time.monotonic()
    subprocess.run(_command(folder, whole), check=True, capture_output=True)
    lasted = time.monotonic() - began
    for share in (0.02, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8):
        out = f"{number}-{share}"
        child = subprocess.Popen(_command(folder, out), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        time.sleep(share * lasted)
        child.send_signal(number)
        _, said = child.communicate(timeout=30)
        if child.returncode == 0:
            continue  # it was quicker than the first one
        assert child.returncode in (*ENDED, -signal.SIGTERM)
        assert "Traceback" not in said
        if checkpoint_path(folder / out).exists():
            assert said.endswith("the checkpoint is kept: the same command with --resume starts from it\n")
            subprocess.run(_command(folder, out, "--resume"), check=True, capture_output=True)
            assert _weights(folder / out) == _weights(folder / whole)
        else:
            assert not (folder / out).exists()


def test_in_another_thread_nothing_is_held_back_and_nothing_fails() -> None:
    found = []
    thread = threading.Thread(target=lambda: found.append(main(["predict", "nowhere"])))
    thread.start()
    thread.join()
    assert found == [5]


def test_a_handler_that_another_program_ignores_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interruptible():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


NATIVE = """
import ctypes, sys
sys.path[:0] = {path!r}
from ostinato.cli.interrupting import interruptible
with interruptible():
    print("ready", flush=True)
    ctypes.CDLL(None).usleep.restype = ctypes.c_int
    for _ in range(60):  # native code that never looks at Python's signals
        ctypes.CDLL(None).select(0, None, None, None, (ctypes.c_long * 2)(20, 0))
"""


@pytest.mark.skipif(os.name == "nt", reason="signals of another kind")
def test_a_third_signal_ends_a_process_that_is_stuck_in_native_code() -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", NATIVE.format(path=sys.path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    for _ in range(3):
        child.send_signal(signal.SIGINT)
        time.sleep(0.2)
    assert child.wait(10) in ENDED
