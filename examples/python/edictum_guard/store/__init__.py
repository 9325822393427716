"""Where state lives: sessions and open calls. The engine chooses the keys of sessions and the meaning of every value; a store
only keeps them, and gives each value a version.

`MemoryStore` is this process's, `SqliteStore` a file that several processes may share, hosts in other languages too.
`BackendStore` keeps sessions in a `StorageBackend` as the Python SDK knows them.
"""

from __future__ import annotations

from .backend import BackendStore, MemoryBackend, StorageBackend
from .base import OpenCall, Operation, Outcome, Store, Visit
from .memory import MemoryStore
from .sqlite import SqliteStore

__all__ = [
    "BackendStore",
    "MemoryBackend",
    "MemoryStore",
    "OpenCall",
    "Operation",
    "Outcome",
    "SqliteStore",
    "StorageBackend",
    "Store",
    "Visit",
]
