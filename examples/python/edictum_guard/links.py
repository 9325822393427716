"""What a path is, links not followed. The engine walks paths itself and asks for one step at a time."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable

#: `"missing"`, `"plain"`, `"unreadable"`, or `{"target": text}`: the text form of `decide.link`.
Link = str | dict[str, str]


def read(paths: Iterable[str]) -> list[Link]:
    """Looks every path up."""
    return [_look(path) for path in paths]


def _look(path: str) -> Link:
    try:
        mode = os.lstat(path).st_mode
        if not stat.S_ISLNK(mode):
            return "plain"
        target = os.readlink(os.fsencode(path))
        return {"target": target.decode()}
    except (FileNotFoundError, NotADirectoryError):
        # Below a file there is nothing.
        return "missing"
    except (OSError, ValueError):
        # No permission, a NUL, not text.
        return "unreadable"
