"""Translating line by line, each answered at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from ostinato.errors import StreamRowError
from ostinato.streaming import Steps, Stream
from ostinato.tasks.base.searching.search import Search
from ostinato.tasks.translate.together import Together
from ostinato.tasks.translate.translating import say_strange


class TranslationStream(Stream):
    """Greedy translations of lines that come one by one; a line knows nothing of those before it."""

    kind = "translation"
    takes_text: ClassVar[bool] = True

    def __init__(self, together: Together, search: Search) -> None:
        self._together, self._search = together, search

    def steps(self, line: str | Mapping[str, Any]) -> Steps:
        """Return the translation of a line, or of the `source` (or `text`) of a JSON row.

        Raises:
            StreamRowError: the row has no text.
        """
        return {"translation": "".join(self.pieces(line))}
        yield  # nothing is asked for: it is all answered by itself

    def reset(self) -> None:
        """Nothing is kept."""

    def pieces(self, line: str | Mapping[str, Any]) -> Iterator[str]:
        """Yield the translation of a line piece by piece."""
        text = line.get("source", line.get("text")) if isinstance(line, Mapping) else line
        if not isinstance(text, str):
            raise StreamRowError('it has no text; expected a line, or {"source": "..."}')
        say_strange(self._together.languages, [text])
        return self._together.pieces(text, self._search)
