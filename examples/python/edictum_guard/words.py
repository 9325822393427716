"""Enumerations whose members are their words: they print, compare and serialise as those."""

from __future__ import annotations

from enum import Enum


class Word(str, Enum):
    """A word of a closed list."""

    def __str__(self) -> str:
        return str(self.value)
