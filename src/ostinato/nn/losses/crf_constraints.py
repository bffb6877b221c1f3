"""Which tags may follow which, for a conditional random field: read from the names of BIO and IOBES tags."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from ostinato.errors import UsageError

TagScheme: TypeAlias = Literal["BIO", "IOBES"]
_PREFIXES = {"BIO": "BI", "IOBES": "BIES"}
_OUTSIDE = "O"


@dataclass(frozen=True)
class TagConstraints:
    """What a sequence of tags may look like, as booleans.

    `transitions[i, j]`, `(tags, tags)`: tag j may follow tag i; `start` and `end`, `(tags,)`: a sequence may begin and
    end with it.
    """

    transitions: Tensor
    start: Tensor
    end: Tensor


def tag_constraints(names: Sequence[str], scheme: TagScheme = "BIO") -> TagConstraints:
    """Return what the scheme allows, from names such as `O`, `B-PER` and `I-PER`.

    Args:
        names: the tags in the order of their classes.
        scheme: "BIO": a name inside (`I-`) follows only its beginning or itself; "IOBES": also, what has begun must
            end (`E-`), and what stands alone is single (`S-`).

    Raises:
        UsageError: a name or the scheme is not known, or a name is there twice.

    Source: L. Ramshaw and M. Marcus, "Text chunking using transformation-based learning", 1995; E. Tjong Kim Sang and
    J. Veenstra, "Representing text chunks", 1999; as constraints in G. Lample et al., 2016.

    >>> allowed = tag_constraints(["O", "B-X", "I-X"])
    >>> allowed.transitions.tolist()
    [[True, True, False], [True, True, True], [True, True, True]]
    >>> allowed.start.tolist(), allowed.end.tolist()
    ([True, True, False], [True, True, True])
    """
    if scheme not in _PREFIXES:
        raise UsageError(f'scheme "{scheme}" is not known; choose one of {", ".join(_PREFIXES)}')
    if len(set(names)) < len(names) or not names:
        raise UsageError(f"tag names are {list(names)}; expected each once, and one or more")
    tags = [_parsed(name, scheme) for name in names]
    follows = [[_may_follow(before, after, scheme) for after in tags] for before in tags]
    outside = (_OUTSIDE, "")
    return TagConstraints(
        transitions=torch.tensor(follows),
        start=torch.tensor([_may_follow(outside, tag, scheme) for tag in tags]),
        end=torch.tensor([_may_follow(tag, outside, scheme) for tag in tags]),
    )


def _parsed(name: str, scheme: TagScheme) -> tuple[str, str]:
    """Return the letter of a tag and what it names."""
    if name == _OUTSIDE:
        return _OUTSIDE, ""
    letter, dash, kind = name.partition("-")
    if not dash or not kind or letter not in _PREFIXES[scheme] or len(letter) != 1:
        known = ", ".join(f"{letter}-NAME" for letter in _PREFIXES[scheme])
        raise UsageError(f'tag "{name}" is not a name of {scheme}; expected O, {known}')
    return letter, kind


def _may_follow(before: tuple[str, str], after: tuple[str, str], scheme: TagScheme) -> bool:
    """Say whether a tag may follow another; the ends of a sequence are as what lies outside of any name."""
    inside = before[0] in "BI"
    goes_on = after[0] in "IE"
    same = before[1] == after[1]
    if scheme == "BIO":
        return not goes_on or (inside and same)
    return goes_on and same if inside else not goes_on
