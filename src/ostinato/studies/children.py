"""Work in a process of its own, started afresh: its memory, threads and compiled code are its own.

Unlike `multiprocessing`, the caller's script is not imported again, so that a call needs no `if __name__ == "__main__"`
around it and works in a notebook; and a child ends when its parent does, however that came about.
"""

from __future__ import annotations

import importlib
import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any


def can_take(job: Any, cell: Any) -> bool:
    """Return whether another process can be given a job: it must find the class or function of a cell by its module."""
    if callable(cell) and getattr(cell, "__module__", "__main__") == "__main__":
        return False
    try:
        pickle.dumps(job)
    except (pickle.PicklingError, AttributeError, TypeError):
        return False
    return True


def start(function: str, job: Any, log: Path) -> subprocess.Popen[bytes]:
    """Start `function`, as `"module:name"`, on a job in another process.

    Args:
        function: takes the job; what it returns is left aside, so that it writes down what it finds.
        job: anything that can be pickled.
        log: a file that takes what it prints.

    Raises:
        OutputError: the log cannot be written.
    """
    content = pickle.dumps((function, job))
    paths = [path or str(Path.cwd()) for path in sys.path]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    with log.open("wb") as printed:
        child = subprocess.Popen(
            [sys.executable, "-c", "from ostinato.studies.children import main; main()"],
            stdin=subprocess.PIPE,
            stdout=printed,
            stderr=subprocess.STDOUT,
            env=environment,
        )
    assert child.stdin is not None
    try:
        # the pipe stays open: its end tells the child that the parent is no more
        child.stdin.write(len(content).to_bytes(8, "big") + content)
        child.stdin.flush()
    except BrokenPipeError:
        child.wait()  # it ended before it read the job; its exit code and its log say why
    return child


def stop(child: subprocess.Popen[bytes]) -> None:
    """End a child that is still running, and wait for it."""
    if child.poll() is None:
        child.kill()
    child.wait()
    if child.stdin is not None:
        try:
            child.stdin.close()
        except BrokenPipeError:
            return  # what was not yet sent has nobody to read it


def last_line(log: Path) -> str:
    """Return the last line that a child printed: of a traceback, what went wrong."""
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1].strip() if lines else "it printed nothing"


def main() -> None:
    """Do the job that comes on stdin."""
    size = int.from_bytes(sys.stdin.buffer.read(8), "big")
    function, job = pickle.loads(sys.stdin.buffer.read(size))  # noqa: S301, our own parent wrote it to our own stdin
    threading.Thread(target=_end_with_parent, daemon=True).start()
    module, name = function.split(":")
    getattr(importlib.import_module(module), name)(job)


def _end_with_parent() -> None:
    # the raw descriptor: a buffered read would hold a lock that a normal exit waits for
    while os.read(0, 1):
        continue
    os._exit(1)
