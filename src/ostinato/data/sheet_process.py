"""Reading a binary spreadsheet in a process of its own: its library ends, rather than fails, on some damaged files.

Of 1,000 damaged `.xls` files it took all memory, or ended the whole process, with one in fifteen, and it panicked with
as many. Here that is the end of a child, and one sentence.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ostinato.errors import DataError

_MEMORY, _TIMES = 4 << 30, 100  # bytes, and bytes a byte of the file
_SECONDS, _A_SECOND = 60, 1 << 18  # of a processor, and bytes of the file that give one more


@dataclass(frozen=True)
class Cells:
    """What a sheet holds.

    Args:
        table: an Arrow table whose columns are texts.
        errors: the row, the column and the kind of each cell that is an error.
    """

    table: Any
    errors: Sequence[tuple[int, int, str]]


def read_apart(name: str, content: bytes, choose: Callable[[Sequence[str]], int]) -> Cells:
    """Return the cells of a sheet.

    Args:
        name: of the file, for a message.
        content: of the file.
        choose: given the names of the sheets, returns the place of the one to read.

    Raises:
        DataError: the file cannot be read.
    """
    import pyarrow  # type: ignore[import-untyped]

    code = Path(__file__).with_name("sheet_reader.py").read_text("utf-8")
    paths = os.pathsep.join(each for each in sys.path if each)
    with subprocess.Popen(
        [sys.executable, "-P", "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": paths},
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            asked = {
                "memory": _MEMORY + _TIMES * len(content),
                "seconds": _SECONDS + len(content) // _A_SECOND,
                "size": len(content),
            }
            _write(child.stdin, json.dumps(asked).encode() + b"\n" + content)
            place = choose(_answer(name, child.stdout)["names"])
            _write(child.stdin, json.dumps(place).encode() + b"\n")
            errors = [(row, column, kind) for row, column, kind in _answer(name, child.stdout)["errors"]]
            try:
                return Cells(pyarrow.ipc.open_stream(child.stdout).read_all(), errors)
            except (pyarrow.ArrowException, OSError) as error:
                raise broken(name, "its reader broke off") from error
        finally:
            child.kill()


def _write(stdin: IO[bytes], content: bytes) -> None:
    try:
        stdin.write(content)
        stdin.flush()
    except OSError:  # the child has ended; what it answered, or did not, says why
        return


def _answer(name: str, stdout: IO[bytes]) -> Any:
    line = stdout.readline()
    if not line:
        raise broken(name, "its reader broke off, or it claims to be far larger than it is")
    found = json.loads(line)
    if "failure" in found:
        raise broken(name, str(found["failure"]))
    return found


def broken(name: str, reason: str) -> DataError:
    """Return the error of a file that cannot be read."""
    said = (reason.splitlines() or ["no reason is given"])[0].rstrip(".")[:200]
    return DataError(f"{name} cannot be read ({said}); it is damaged, or no spreadsheet: save it again")
