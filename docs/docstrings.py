"""Our docstrings, which are written to be read as they stand, as the reStructuredText that Sphinx wants.

`x` is code, an indented block between paragraphs is one of equations or a picture of letters, and no other sign means
anything: a `*` is a product. Sections (`Args:`, `Returns:`, `Raises:`) are those of Google's style.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

_SECTION = re.compile(r"(Args|Arguments|Returns|Raises|Yields|Attributes|Class attributes|Note|Example|Examples):\s*$")
_SPAN = re.compile(r"(``[^`]+``|`[^`]+`)")
_SPECIAL = re.compile(r"([*|\\]|(?<=\w)_(?!\w))")


def process(_app: Any, what: str, _name: str, shown: Any, _options: Any, lines: list[str]) -> None:
    """Rewrite the lines of a docstring in place, and put the parameters of an estimator behind it."""
    lines[:] = list(rewritten(lines))
    if what == "class":
        lines += parameters(shown)


def rewritten(lines: list[str]) -> Iterator[str]:
    r"""Yield lines of reStructuredText.

    >>> list(rewritten(["A sum of `x` and y_:", "", "    s = x * y", "", "After."]))[2:4]
    ['::', '']
    >>> list(rewritten(["Args:", "    x, y: `a`s, not *b*, `c", "        d`."]))
    ['Args:', '    x, y: ``a``\\ s, not \\*b\\*, ``c', '        d``.']
    """
    section = literal = False
    kept: list[str] = []  # lines of one paragraph: code may begin on one and end on the next
    for i, line in enumerate(lines):
        indent = len(line) - len(line.lstrip())
        if line.strip() and indent == 0:
            literal, section = False, bool(_SECTION.match(line))
        begins = indent >= 2 and not section and not literal and i > 0 and not lines[i - 1].strip()
        literal = literal or (bool(line.strip()) and begins)
        if line.strip() and not literal and not _of_example(lines, i) and not _SECTION.match(line):
            kept.append(line)
            continue
        yield from _paragraph(kept)
        kept = []
        if literal and begins and line.strip():
            yield from ("::", "")
        yield line
    yield from _paragraph(kept)


def _of_example(lines: list[str], place: int) -> bool:
    """Tell whether a line is of an example: entered, or printed by one without an empty line between."""
    for line in reversed(lines[: place + 1]):
        if not line.strip():
            return False
        if line.lstrip().startswith(">>>"):
            return True
    return False


def _paragraph(lines: list[str]) -> list[str]:
    return _inline("\n".join(lines)).split("\n") if lines else []


def _inline(text: str) -> str:
    """Return text with its code marked and all other signs as they are."""
    found = ""
    for part in _SPAN.split(text):
        if not part.startswith("`"):
            found += _SPECIAL.sub(r"\\\1", part) if not found.endswith("``") else _after(part)
            continue
        if found and (found[-1].isalnum() or found[-1] in "_`"):
            found += "\\ "
        found += f"``{part.strip('`')}``"
    return found


def _after(text: str) -> str:
    escaped = _SPECIAL.sub(r"\\\1", text)
    return f"\\ {escaped}" if text[:1].isalnum() or text[:1] in "_`" else escaped


def parameters(shown: Any) -> list[str]:
    """Return the table of an estimator's parameters: name, default, what it is."""
    from ostinato.options import parameters_of
    from ostinato.tasks.base.about import Parameters
    from ostinato.training.config import TrainingOptions

    if not isinstance(shown, type) or not issubclass(shown, (Parameters, TrainingOptions)):
        return []
    known = parameters_of(shown)
    rows = [line for one in known for line in _row(one)]
    head = ["   * - parameter", "     - default", "     - what it is"]
    return ["", ".. list-table:: Parameters", "   :header-rows: 1", "   :widths: 20 20 60", "", *head, *rows, ""]


def _row(one: Any) -> list[str]:
    from dataclasses import MISSING

    default = "required" if one.default is MISSING else f"``{one.default!r}``"
    absent = getattr(one, "absent", "")
    said = one.help + (f" (if not given: {absent})" if absent else "")
    return [f"   * - ``{one.name}``", f"     - {default}", f"     - {_inline(said)}"]
