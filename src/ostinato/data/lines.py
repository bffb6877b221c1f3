"""Lines of a text file as they lie on disk: plain or unzipped, decoded one by one, a bad byte named by its line."""

from __future__ import annotations

import codecs
import gzip
import io
import unicodedata
import zlib
from collections.abc import Callable, Iterator
from io import BufferedReader
from pathlib import Path
from typing import Generic, Literal, TypedDict, TypeVar, get_args

from ostinato.errors import DataError, UsageError
from ostinato.files import reason

T = TypeVar("T", covariant=True)
NormalForm = Literal["NFC", "NFD", "NFKC", "NFKD", "none"]
_BOM = codecs.BOM_UTF8
_GZIP = b"\x1f\x8b"
_WIDE = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_HEAD = 1 << 16
_LEAST, _RATIO = 256 << 20, 50
"""A packed text may unpack to so many bytes, and to so many times its size."""


class Decoding(TypedDict, total=False):
    """How bytes become text; every reader of `ostinato.data.text` takes these as keywords.

    Args:
        encoding: of the bytes, UTF-8 unless told; any in which a line ends with the byte 10 (not UTF-16 or UTF-32).
            The byte order mark of a UTF-8 file is skipped; one of UTF-16 or UTF-32 says that the file is that.
        errors: `"strict"`: a byte that is not in the encoding is a `DataError` that names its line; `"replace"`: it is
            read as U+FFFD.
        normal_form: the Unicode normal form of what is returned: `"NFC"` unless told (é is one character however it
            was typed), `"NFKC"` (ﬁ is also "fi", ２ is "2"), `"NFD"`, `"NFKD"`, or `"none"`: as it stands.
    """

    encoding: str
    errors: Literal["strict", "replace"]
    normal_form: NormalForm


class Rows(Generic[T]):
    """What a reader returns: read again from disk each time it is iterated, one row in memory at a time."""

    def __init__(self, start: Callable[[], Iterator[T]]) -> None:
        self._start = start

    def __iter__(self) -> Iterator[T]:
        return self._start()


class TextFile:
    """A text file, plain or gzip (known by its first bytes, not by its name).

    Args:
        path: the file.
        decoding: see `Decoding`.

    Raises:
        DataError: there is no such file.
        UsageError: the decoding is not one of those known.
    """

    def __init__(self, path: str | Path, decoding: Decoding) -> None:
        self.path = Path(path)
        self.name = self.path.name
        self.errors, self.codec = _checked(decoding)
        self.normal_form = decoding.get("normal_form", "NFC")
        if not self.path.exists():
            raise DataError(f"{self.path} does not exist; check the path")
        if self.path.is_dir():
            raise DataError(f"{self.path} is a folder; expected a text file, plain or .gz")

    def lines(self) -> Iterator[str]:
        r"""Return the lines with their ends (`\n`, or `\r\n` turned into it), not yet in the normal form.

        Only `\n` ends a line (where the file's beginning has none, `\r`, as on old Macs): U+2028 and its like are
        ordinary characters, so that parallel files stay in step.
        """
        number = 0
        try:
            with self._open() as file:
                for line in self._decoded(file):
                    number += 1
                    yield line
        except UnicodeDecodeError as error:
            number += 1
            raise DataError(_bad_byte(self.name, number, error, self.codec.name)) from error
        except (OSError, EOFError, zlib.error) as error:
            why = reason(error) if isinstance(error, OSError) else "the compressed data is cut short or damaged"
            raise DataError(f"{self.name} cannot be read after line {number} ({why}); fetch it again") from error

    def _decoded(self, file: gzip.GzipFile | BufferedReader) -> Iterator[str]:
        head = file.read(_HEAD)
        file.seek(0)
        utf8, decode, errors = self.codec.name == "utf-8", self.codec.decode, self.errors
        wide = next((name for mark, name in _WIDE if utf8 and head.startswith(mark)), None)
        if wide is not None:
            for line in io.TextIOWrapper(file, wide, errors, newline="\n"):
                yield line.removesuffix("\r\n") + "\n" if line.endswith("\r\n") else line
            return
        old_mac = b"\r" in head and b"\n" not in head
        for number, raw in enumerate(_ended_by_returns(file) if old_mac else self._bounded(file)):
            if number == 0 and utf8 and raw.startswith(_BOM):
                raw = raw[len(_BOM) :]
            yield decode(raw[:-2] + b"\n" if raw.endswith(b"\r\n") else raw, errors)[0]

    def _bounded(self, file: gzip.GzipFile | BufferedReader) -> Iterator[bytes]:
        """Yield the lines of a file, of a packed one no more than can be believed of its size."""
        if not isinstance(file, gzip.GzipFile):
            yield from file
            return
        left = _LEAST + _RATIO * self.path.stat().st_size
        while raw := file.readline(left + 1):
            left -= len(raw)
            if left < 0:
                raise DataError(
                    f"{self.name} unpacks to more than {(_LEAST + _RATIO * self.path.stat().st_size) >> 20:,} MiB, as "
                    "no text of its size does; if it is one, unpack it first and give the unpacked file"
                )
            yield raw

    def normalise(self, text: str) -> str:
        """Return a text in the normal form; lone surrogates and NUL are let through."""
        return normalise(text, self.normal_form)

    def _open(self) -> gzip.GzipFile | BufferedReader:
        with self.path.open("rb") as file:
            zipped = file.read(2) == _GZIP
        return gzip.open(self.path, "rb") if zipped else self.path.open("rb")


def _ended_by_returns(file: gzip.GzipFile | BufferedReader) -> Iterator[bytes]:
    r"""Yield the lines of a file that end in `\r`, with `\n` in its place."""
    rest = b""
    while chunk := file.read(1 << 20):
        *whole, rest = (rest + chunk).replace(b"\r\n", b"\r").split(b"\r")
        yield from (line + b"\n" for line in whole)
    if rest:
        yield rest


def normalise(text: str, form: NormalForm) -> str:
    """Return a text in a Unicode normal form."""
    return text if form == "none" or text.isascii() else unicodedata.normalize(form, text)


def is_blank(line: str) -> bool:
    """Tell whether a line holds white space only."""
    return not line or line.isspace()


def check_normal_form(form: str) -> None:
    """Raise `UsageError` for a name that is no normal form."""
    if form not in get_args(NormalForm):
        raise UsageError(f'normal_form is "{form}"; expected one of {", ".join(get_args(NormalForm))}')


def _checked(decoding: Decoding) -> tuple[str, codecs.CodecInfo]:
    unknown = set(decoding) - set(Decoding.__annotations__)
    if unknown:
        known = ", ".join(Decoding.__annotations__)
        raise UsageError(f'a reader has no option "{min(unknown)}"; expected {known} or one it names itself')
    errors, form = decoding.get("errors", "strict"), decoding.get("normal_form", "NFC")
    if errors not in ("strict", "replace"):
        raise UsageError(f'errors is "{errors}"; expected "strict" or "replace"')
    check_normal_form(form)
    encoding = decoding.get("encoding", "utf-8")
    try:
        codec = codecs.lookup(encoding)
        by_lines = "\n".encode(codec.name) == b"\n"
    except (LookupError, ValueError) as error:
        raise UsageError(
            f'the encoding "{encoding}" is not known; expected such as utf-8, latin-1 or cp1252'
        ) from error
    if not by_lines:
        raise UsageError(f'the encoding "{encoding}" cannot be read by lines; convert the file to UTF-8 (iconv)')
    return errors, codec


def _bad_byte(name: str, line: int, error: UnicodeDecodeError, encoding: str) -> str:
    what = f"line {line} of {name}: the byte 0x{error.object[error.start]:02x} in place {error.start + 1}"
    return (
        f'{what} is not {encoding}; convert the file to UTF-8, name its encoding (encoding="cp1252"), '
        'or pass errors="replace"'
    )
