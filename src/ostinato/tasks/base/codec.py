"""Fitted things to and from plain data and arrays, by the types of their fields.

What is read is held against the types, so that a file cannot bring in anything else: texts, numbers, sequences and
mappings of them, arrays, dataclasses, and what says `to_json` and `from_json`, or is a vocabulary.
"""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]
T = TypeVar("T")
_ARRAY = "$array"
_TIME, _SPAN = "$time", "$microseconds"


def to_plain(value: Any, name: str, arrays: Arrays) -> Any:
    """Return a value as plain data; its arrays are put into `arrays` under names that begin with `name`."""
    if isinstance(value, np.ndarray):
        # one that is there already, such as the n-grams of a model that are its baseline too, is not written twice
        there = next((known for known, array in arrays.items() if array is value), name)
        arrays[there] = value
        return {_ARRAY: there}
    if isinstance(value, np.datetime64):
        return {_TIME: str(value)}
    if isinstance(value, np.timedelta64):
        return {_SPAN: int(value.astype("timedelta64[us]").astype(np.int64))}
    if isinstance(value, np.generic):
        return value.item()
    for method in ("to_json", "to_dict"):
        if hasattr(value, method):
            return getattr(value, method)()
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: to_plain(getattr(value, each.name), f"{name}.{each.name}", arrays) for each in _saved(value)}
    if isinstance(value, Mapping):
        return {str(key): to_plain(item, f"{name}.{key}", arrays) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(item, f"{name}.{i}", arrays) for i, item in enumerate(value)]
    return value


def from_plain(kind: Any, plain: Any, arrays: Mapping[str, NDArray[Any]]) -> Any:
    """Return what `to_plain` was given, of a type.

    Raises:
        TypeError, ValueError, LookupError: it is not of that type.
    """
    origin, inner = get_origin(kind), get_args(kind)
    if kind is Any:
        return _any(plain, arrays)
    if origin in (Union, types.UnionType):
        return _one_of(inner, plain, arrays)
    if origin is Literal:
        if plain not in inner:
            raise ValueError(f"{str(plain)[:40]} is none of {', '.join(map(str, inner))}")
        return plain
    if kind is np.ndarray or origin is np.ndarray:
        array: NDArray[Any] = arrays[plain[_ARRAY]]
        return array
    if kind is None or kind is type(None) or kind in (bool, int, float, str):
        return _simple(kind, plain)
    if origin is tuple and not (len(inner) == 2 and inner[1] is Ellipsis):
        if len(plain) != len(inner):
            raise ValueError(f"there are {len(plain)} values where {len(inner)} belong")
        return tuple(from_plain(value, one, arrays) for value, one in zip(inner, plain, strict=True))
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        return {_key(inner[0], key): from_plain(inner[1], value, arrays) for key, value in _mapping(plain).items()}
    if origin is not None and isinstance(origin, type) and issubclass(origin, Sequence):
        found_all = [from_plain(inner[0], each, arrays) for each in _list(plain)]
        return found_all if origin is list else tuple(found_all)
    return _object(kind, plain, arrays)


def _object(kind: Any, plain: Any, arrays: Mapping[str, NDArray[Any]]) -> Any:
    if hasattr(kind, "from_json"):
        return kind.from_json(plain)
    if hasattr(kind, "to_dict"):
        from ostinato.data.text import vocabulary_from_dict

        found = vocabulary_from_dict(plain)
        if isinstance(kind, type) and not getattr(kind, "_is_protocol", False) and not isinstance(found, kind):
            raise TypeError(f"its vocabulary is a {type(found).__name__}, not a {kind.__name__}")
        return found
    if not (isinstance(kind, type) and is_dataclass(kind)):
        raise TypeError(f"a {kind} is not kept in a model")
    hints, known = _hints(kind), _mapping(plain)
    names = [each.name for each in _saved(kind)]
    unknown = sorted(set(known) - set(names))
    if unknown:
        raise ValueError(f'a {kind.__name__} knows no "{unknown[0]}"')
    return kind(**{name: from_plain(hints[name], known[name], arrays) for name in names if name in known})


def _saved(value: Any) -> list[Any]:
    return [field for field in fields(value) if field.init and field.metadata.get("saved", True)]


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)


def _simple(kind: Any, plain: Any) -> Any:
    if kind in (None, type(None)):
        if plain is not None:
            raise TypeError(f"{str(plain)[:40]} stands where nothing belongs")
        return None
    right = isinstance(plain, (int, float) if kind is float else kind)
    if not right or (isinstance(plain, bool) and kind is not bool):
        raise TypeError(f"{str(plain)[:40]} is no {kind.__name__}")
    return float(plain) if kind is float else plain


def _one_of(kinds: tuple[Any, ...], plain: Any, arrays: Mapping[str, NDArray[Any]]) -> Any:
    if plain is None and type(None) in kinds:
        return None
    error: Exception | None = None
    # a whole number is a float too: the narrower type first
    for kind in sorted(kinds, key=lambda each: each is float):
        try:
            return from_plain(kind, plain, arrays)
        except (TypeError, ValueError, LookupError, AttributeError) as wrong:
            error = wrong
    raise TypeError(f"{str(plain)[:40]} is none of {kinds}") from error


def _any(plain: Any, arrays: Mapping[str, NDArray[Any]]) -> Any:
    if isinstance(plain, Mapping):
        if set(plain) == {_ARRAY}:
            return arrays[plain[_ARRAY]]
        if set(plain) == {_TIME}:
            return np.datetime64(plain[_TIME], "us")
        if set(plain) == {_SPAN}:
            return np.timedelta64(int(plain[_SPAN]), "us")
        return {key: _any(value, arrays) for key, value in plain.items()}
    return tuple(_any(each, arrays) for each in plain) if isinstance(plain, (list, tuple)) else plain


def _key(kind: Any, key: str) -> Any:
    return int(key) if kind is int else key


def _mapping(plain: Any) -> Mapping[str, Any]:
    if not isinstance(plain, Mapping):
        raise TypeError(f"{str(plain)[:40]} stands where names and values belong")
    return plain


def _list(plain: Any) -> Sequence[Any]:
    if not isinstance(plain, (list, tuple)):
        raise TypeError(f"{str(plain)[:40]} stands where a list belongs")
    return plain
