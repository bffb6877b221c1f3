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
_ARGUMENT = re.compile(r"^(\s+)([\w*, .]+)(:\s)")


def process(_app: Any, what: str, _name: str, shown: Any, _options: Any, lines: list[str]) -> None:
    """Rewrite the lines of a docstring in place, and put the parameters of an estimator behind it."""
    lines[:] = list(rewritten(lines))
    if what == "class":
        lines += parameters(shown)


def rewritten(lines: list[str]) -> Iterator[str]:
    r"""Yield lines of reStructuredText.

    >>> list(rewritten(["A sum `x` * y_:", "", "    s = x * y", "", "After."]))[2:4]
    ['::', '']
    >>> list(rewritten(["Args:", "    x, y: `a`s, not *b*."]))
    ['Args:', '    x, y: ``a``\\\\ s, not \\\\*b\\\\*.']
    """
    section = literal = False
    for i, line in enumerate(lines):
        indent = len(line) - len(line.lstrip())
        if not line.strip():
            yield line
            continue
        if indent == 0:
            literal = False
            section = bool(_SECTION.match(line))
        if line.lstrip().startswith((">>>", "...")) or _answer(lines, i) or literal:
            yield line
        elif indent >= 2 and not section and i > 0 and not lines[i - 1].strip():
            literal = True
            yield from ("::", "", line)
        elif section and indent:
            yield _item(line)
        elif not section:
            yield _inline(line)
        else:
            yield line


def _answer(lines: list[str], place: int) -> bool:
    """Tell whether a line is what an example prints: it stands behind one, without an empty line between."""
    for line in reversed(lines[:place]):
        if not line.strip():
            return False
        if line.lstrip().startswith(">>>"):
            return True
    return False


def _item(line: str) -> str:
    found = _ARGUMENT.match(line)
    if found is None:
        return _inline(line)
    return found[0] + _inline(line[found.end() :])


def _inline(line: str) -> str:
    """Return a line with its code marked and all other signs as they are."""
    parts = _SPAN.split(line)
    found = ""
    for part in parts:
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
