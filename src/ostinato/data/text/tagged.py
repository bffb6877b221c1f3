"""Reading tagged text: one token a line, its tag in a column beside it, a blank line between sentences."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Unpack

from ostinato.data.lines import Decoding, Rows, TextFile, is_blank
from ostinato.errors import ColumnError, DataError, UsageError
from ostinato.words import counted

_CONLLU = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")
_BLANKS = re.compile(r"[ \t]+")  # not str.split(): a token may hold U+00A0


class TaggedSentence(NamedTuple):
    """A sentence: its tokens and as many tags."""

    tokens: tuple[str, ...]
    tags: tuple[str, ...]


def read_tagged(
    path: str | Path,
    *,
    token: int = 0,
    tag: int = -1,
    delimiter: str | None = None,
    comments: str | None = "#",
    **decoding: Unpack[Decoding],
) -> Rows[TaggedSentence]:
    r"""Read a file of the CoNLL shared tasks' kind.

    Args:
        path: the file.
        token: the column of the token, from 0; a negative one counts from the last.
        tag: the column of the tag; for CoNLL-2003 names, the last.
        delimiter: between columns; `None`: a tab if the first line of tokens has one, else runs of spaces.
        comments: lines that begin so and stand before the first token of a sentence are skipped, but for one that is a
            token with a tag that other lines have (`# SYM`, `#now HT`); `None`: there are none.
        decoding: see `Decoding`.

    Returns:
        The sentences. `-DOCSTART-` lines, which only part documents, are skipped.

    Raises:
        ColumnError: there is no such column.
        DataError: a line has more or fewer columns than the first, or its token or tag is empty.

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "eng.train"
    >>> _ = path.write_text("EU NNP B-ORG\nrejects VBZ O\n\nHello UH O\n")
    >>> [sentence.tags for sentence in read_tagged(path)]
    [('B-ORG', 'O'), ('O',)]
    """
    if delimiter == "":
        raise UsageError('delimiter is ""; expected a character, or None for tabs or runs of spaces')
    file = TextFile(path, decoding)
    return Rows(lambda: _sentences(file, token, tag, delimiter, comments, words_only=False))


def read_conllu(path: str | Path, *, tag: str = "upos", **decoding: Unpack[Decoding]) -> Rows[TaggedSentence]:
    """Read a file of Universal Dependencies (CoNLL-U): its syntactic words and one of their columns.

    Args:
        path: the file.
        tag: the column to take as the tag: `lemma`, `upos`, `xpos`, `feats`, `head`, `deprel`, `deps` or `misc`.
        decoding: see `Decoding`.

    Returns:
        The sentences; comments, the lines of multiword tokens (`1-2`) and empty nodes (`1.1`) are skipped.

    Raises:
        UsageError: `tag` is no column of the format.
        DataError: a line does not have ten columns.

    Source: universaldependencies.org/format.html.
    """
    if tag not in _CONLLU:
        raise UsageError(f'tag is "{tag}"; expected a column of CoNLL-U: {", ".join(_CONLLU)}')
    file = TextFile(path, decoding)
    return Rows(lambda: _sentences(file, 1, _CONLLU.index(tag), "\t", "#", words_only=True))


def _sentences(
    file: TextFile, token: int, tag: int, delimiter: str | None, comments: str | None, *, words_only: bool
) -> Iterator[TaggedSentence]:
    tokens, tags = list[str](), list[str]()
    width = len(_CONLLU) if words_only else 0
    known: _Known | None = None
    for number, line in enumerate(file.lines(), 1):
        if is_blank(line):
            if tokens:
                yield TaggedSentence(tuple(tokens), tuple(tags))
            tokens, tags = [], []
            continue
        if line.startswith("-DOCSTART-"):
            continue
        if comments and not tokens and line.startswith(comments):
            if words_only:
                continue
            known = known or _known(file, token, tag, delimiter, comments)
            if not known.has(line):
                continue
            delimiter = known.delimiter
        delimiter = delimiter or ("\t" if "\t" in line else " ")
        cells = _split(line, delimiter)
        width = width or _checked_width(file, number, cells, token, tag)
        if len(cells) != width:
            raise DataError(
                f"line {number} of {file.name} has {counted(len(cells), 'columns')} by {delimiter!r}; expected "
                f"{width}; mend that line, or put a blank one between sentences"
            )
        if not (words_only and not cells[0].isdecimal()):
            _check_filled(file, number, cells[token], cells[tag])
            tokens.append(file.normalise(cells[token]))
            tags.append(file.normalise(cells[tag]))
    if tokens:
        yield TaggedSentence(tuple(tokens), tuple(tags))


def _check_filled(file: TextFile, number: int, token: str, tag: str) -> None:
    # a token may be a no-break space
    empty = "token" if not token.strip(" \t\r\n") else "tag" if is_blank(tag) else None
    if empty is not None:
        raise DataError(f"line {number} of {file.name} has an empty {empty}; write it, or take the line out")


class _Known(NamedTuple):
    """What the lines of a file show that can be no comments."""

    delimiter: str
    width: int
    tag: int
    tags: frozenset[str]

    def has(self, line: str) -> bool:
        """Tell whether a line is a token with one of the tags."""
        cells = _split(line, self.delimiter)
        return len(cells) == self.width and cells[self.tag] in self.tags


def _known(file: TextFile, token: int, tag: int, delimiter: str | None, comments: str) -> _Known:
    width, tags = 0, set[str]()
    for number, line in enumerate(file.lines(), 1):
        if is_blank(line) or line.startswith((comments, "-DOCSTART-")):
            continue
        delimiter = delimiter or ("\t" if "\t" in line else " ")
        cells = _split(line, delimiter)
        width = width or _checked_width(file, number, cells, token, tag)
        if len(cells) == width:
            tags.add(cells[tag])
    return _Known(delimiter or " ", width, tag, frozenset(tags))


def _split(line: str, delimiter: str) -> list[str]:
    line = line.rstrip("\n")
    return _BLANKS.split(line.strip(" \t")) if delimiter == " " else line.split(delimiter)


def _checked_width(file: TextFile, number: int, cells: list[str], token: int, tag: int) -> int:
    for what, column in (("token", token), ("tag", tag)):
        if not -len(cells) <= column < len(cells):
            raise ColumnError(
                f"line {number} of {file.name} has {counted(len(cells), 'columns')}; there is no {what} column {column}"
            )
    if token % len(cells) == tag % len(cells):
        raise ColumnError(
            f"line {number} of {file.name} has {counted(len(cells), 'columns')}, so token={token} and tag={tag} are "
            "the same one; expected a token and a tag a line"
        )
    return len(cells)
