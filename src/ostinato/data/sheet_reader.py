"""Reads one sheet of a spreadsheet; run by `sheet_process.py` in a process of its own, and imported by nothing.

On stdin come how many bytes of memory and seconds it may take, the file, and the place of the sheet that is wanted; on
stdout go the names of the sheets, and the cells as texts.
"""

import contextlib
import json
import sys


def main() -> None:
    """Answer one request."""
    stdin, stdout = sys.stdin.buffer, sys.stdout.buffer
    asked = json.loads(stdin.readline())
    _limit(asked["memory"], asked["seconds"])
    content = stdin.read(asked["size"])
    try:
        import fastexcel
        import pyarrow  # type: ignore[import-untyped]

        book = fastexcel.read_excel(content)
        _say(stdout, {"names": book.sheet_names})
        place = json.loads(stdin.readline())
        found, errors = book.load_sheet(place, header_row=None, skip_rows=0, dtypes="string").to_arrow_with_errors()
        cells = [] if errors is None else [(*each.offset_position, each.detail) for each in errors.errors]
        _say(stdout, {"errors": cells})
        names = [str(number) for number in range(found.num_columns)]
        table = pyarrow.RecordBatch.from_arrays([found.column(number) for number in range(len(names))], names)
        with pyarrow.ipc.new_stream(stdout, table.schema) as stream:
            stream.write_batch(table)
    except BaseException as error:  # noqa: BLE001, since a panic of the library is no Exception
        _say(stdout, {"failure": (str(error).splitlines() or [type(error).__name__])[0]})


def _say(stdout: object, value: object) -> None:
    stdout.write(json.dumps(value).encode() + b"\n")  # type: ignore[attr-defined]
    stdout.flush()  # type: ignore[attr-defined]


def _limit(memory: int, seconds: int) -> None:
    """Keep a damaged file that claims to be huge from taking the machine's memory; not everywhere is there a way."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    main()
