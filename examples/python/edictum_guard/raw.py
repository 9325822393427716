"""JSON texts taken apart and put together without being printed again.

`1.0`, `1e400` and 12345678901234567890 do not survive every parser and printer, so calls, outputs and tickets stay the texts
they came in. Texts from outside are split by the engine (`decide-text.members`); here are those that the engine itself wrote,
and the printing of Python values.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

#: Members of an object: names as they are meant, values as their texts.
Members = list[tuple[str, str]]

_SPACE = re.compile(r"[ \t\n\r]*")
_BLANKS = (" ", "\t", "\n", "\r")
#: A name without escapes, its colon, and the space before its value: most are so.
_PLAIN_NAME = re.compile(r'"([A-Za-z0-9_.-]*)"[ \t\n\r]*:[ \t\n\r]*')
_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*"|[][{}]', re.DOTALL)


def _nothing(_: object) -> None:
    """Values are skipped, not kept."""


def _refused(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


_SKIP = json.JSONDecoder(object_pairs_hook=_nothing, parse_float=_nothing, parse_int=_nothing, parse_constant=_refused)
_STRINGS = json.JSONDecoder()
_STRING = json.JSONEncoder(ensure_ascii=False).encode


def members(text: str) -> Members:
    """The members of an object, in order, also those that come twice.

    Raises:
        ValueError: it is not an object. The text is not quoted: it may hold secrets.
    """
    found: Members = []
    at = _past_space(text, 0)
    at = _past(text, at, "{")
    at = _past_space(text, at)
    if text.startswith("}", at):
        _end(text, at + 1)
        return found
    while True:
        plain = _PLAIN_NAME.match(text, at)
        if plain is not None:
            name, begin = plain[1], plain.end()
        elif text.startswith('"', at):
            name, at = _STRINGS.raw_decode(text, at)
            begin = _past_space(text, _past(text, _past_space(text, at), ":"))
        else:
            raise ValueError(f"a name is missing at character {at}")
        at = _value_end(text, begin)
        found.append((name, text[begin:at]))
        at = _past_space(text, at)
        if text.startswith("}", at):
            _end(text, at + 1)
            return found
        at = _past_space(text, _past(text, at, ","))


def member(text: str, name: str) -> str | None:
    """One member of an object, as its text; of several the last. None too when it is no object."""
    try:
        found = [value for key, value in members(text) if key == name]
    except ValueError:
        return None
    return found[-1] if found else None


def elements(text: str) -> list[str]:
    """The elements of an array, as their texts."""
    found: list[str] = []
    at = _past_space(text, _past(text, _past_space(text, 0), "["))
    if text.startswith("]", at):
        _end(text, at + 1)
        return found
    while True:
        end = _value_end(text, at)
        found.append(text[at:end])
        at = _past_space(text, end)
        if text.startswith("]", at):
            _end(text, at + 1)
            return found
        at = _past_space(text, _past(text, at, ","))


def joined(parts: Iterable[tuple[str, str]]) -> str:
    """An object of these members."""
    return "{" + ",".join(f"{quoted(name)}:{value}" for name, value in parts) + "}"


def quoted(text: str) -> str:
    """A string as JSON; half surrogates, which no UTF-8 has, as escapes."""
    shown = _STRING(text)
    return shown if shown.isascii() else _utf8(shown, text)


def printed(value: Any) -> str:
    """Any Python value as JSON. What JSON does not know is shown to rules as its text: `str(value)`; of numbers that are none,
    `"nan"` and `"inf"`. Sets and tuples are lists.

    Raises:
        ValueError: it contains itself.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_known)
    except (TypeError, ValueError):
        text = json.dumps(_plain(value, ()), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return _utf8(text, None)


def _utf8(text: str, value: object) -> str:
    try:
        text.encode()
        return text
    except UnicodeEncodeError:
        # Only strings can have them, and a string has no number that would change.
        return json.dumps(json.loads(text) if value is None else value)


def _known(value: object) -> object:
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=str)
    if isinstance(value, Mapping):
        return dict(value)
    return str(value)


def _plain(value: object, around: tuple[int, ...]) -> object:
    """The slow way, for keys that are no strings and numbers that are none."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if id(value) in around:
        raise ValueError("a value that contains itself is no JSON")
    around = (*around, id(value))
    if isinstance(value, Mapping):
        return {str(key): _plain(inner, around) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner, around) for inner in value]
    if isinstance(value, (set, frozenset)):
        return [_plain(inner, around) for inner in sorted(value, key=str)]
    return str(value)


def _value_end(text: str, begin: int) -> int:
    try:
        return _SKIP.raw_decode(text, begin)[1]
    except RecursionError:
        return _bracket_end(text, begin)


def _bracket_end(text: str, begin: int) -> int:
    """The end of what is nested deeper than a recursive parser goes: where its first bracket is closed."""
    open_brackets: list[str] = []
    for token in _BRACKET.finditer(text, begin):
        mark = token.group()
        if mark in "[{":
            open_brackets.append("]" if mark == "[" else "}")
        elif mark in "]}":
            if not open_brackets or open_brackets.pop() != mark:
                break
            if not open_brackets:
                return token.end()
    raise ValueError(f"a bracket at character {begin} is not closed")


def _past_space(text: str, at: int) -> int:
    # What the engine writes has none.
    if text[at : at + 1] not in _BLANKS:
        return at
    space = _SPACE.match(text, at)
    return space.end() if space else at


def _past(text: str, at: int, mark: str) -> int:
    if not text.startswith(mark, at):
        raise ValueError(f"`{mark}` is missing at character {at}")
    return at + 1


def _end(text: str, at: int) -> None:
    if _past_space(text, at) != len(text):
        raise ValueError(f"something follows at character {at}")
