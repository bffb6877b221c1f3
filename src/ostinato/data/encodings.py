"""Encodings of text by their names."""

from __future__ import annotations

import codecs

from ostinato.errors import UsageError


def codec_of(encoding: str) -> codecs.CodecInfo:
    """Return an encoding of text by its name.

    Raises:
        UsageError: there is none of that name.

    >>> codec_of("latin-1").name
    'iso8859-1'
    """
    try:
        found = codecs.lookup(encoding)
        "a".encode(found.name)  # some are of bytes to bytes
    except (LookupError, ValueError, TypeError) as error:
        raise UsageError(
            f'the encoding "{encoding}" is not known; expected such as utf-8, latin-1, cp1252, shift_jis or utf-16'
        ) from error
    return found
