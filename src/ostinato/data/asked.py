"""What a user says of how a file lies, and for which kinds of files that can be said."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ostinato.data.databases import DATABASES
from ostinato.data.spreadsheets import SPREADSHEETS
from ostinato.data.unpacking import PACKED
from ostinato.errors import UsageError

DELIMITED = (".csv", ".tsv", ".txt", ".tab", ".dat", "")
TAKEN_BY = {
    "sheet": (*SPREADSHEETS, *DATABASES),
    "delimiter": DELIMITED,
    "header": (*DELIMITED, *SPREADSHEETS),
}
"""The endings of files for which an option means something."""
_BINARY = (*SPREADSHEETS, *DATABASES, ".parquet", ".pq", ".feather", ".arrow", ".ipc", ".npy", ".npz")
_KINDS = {
    "sheet": "spreadsheets and databases",
    "delimiter": "text files",
    "encoding": "text files",
    "header": "text files and spreadsheets",
}


@dataclass(frozen=True)
class Asked:
    """How a file lies, each `None` where it is to be found.

    Args:
        delimiter: between the columns of a text file.
        sheet: of a spreadsheet or database.
        header: whether its first row names the columns.
        encoding: of the bytes of a text file.
    """

    delimiter: str | None = None
    sheet: str | int | None = None
    header: bool | None = None
    encoding: str | None = None

    def check(self, name: str) -> None:
        """Refuse what means nothing for a file of this name.

        Raises:
            UsageError: something is said that would be ignored.
        """
        wrong = next((each for each in _KINDS if getattr(self, each) is not None and not takes(each, name)), None)
        if wrong is not None:
            flag = "--header, --no-header" if wrong == "header" else f"--{wrong}"
            raise UsageError(f"{wrong}=... ({flag}) is for {_KINDS[wrong]}, and {name} is none; leave it out")


def takes(option: str, name: str) -> bool:
    """Tell whether an option means something for a file of this name, packed or not.

    >>> takes("sheet", "load.csv"), takes("delimiter", "load.csv.gz")
    (False, True)
    """
    path = Path(name)
    suffix = path.suffix.lower()
    bare = Path(path.stem).suffix.lower() if suffix in PACKED else suffix
    return bare not in _BINARY if option == "encoding" else bare in TAKEN_BY[option]
