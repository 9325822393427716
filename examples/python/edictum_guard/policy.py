"""A policy as the host keeps it: the texts it is made of, what its sandbox boundaries were when it was loaded, and what the
engine says about it. Each decider compiles it for itself, from the same texts and the same answers; guards with equal texts
share one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from wasmtime.component import ResourceAny, Variant

from .links import Link

DAY_MS = 86_400_000


@dataclass(frozen=True)
class Document:
    """A ruleset or workflow as it was written. `name` is what diagnostics call it."""

    name: str
    text: str


@dataclass(frozen=True)
class Source:
    """The texts of a policy. `options` is an options document (`wit/schemas/options.schema.json`)."""

    rulesets: tuple[Document, ...]
    workflow: Document | None = None
    options: str = "{}"

    def key(self) -> bytes:
        """Equal for equal texts."""
        texts = [str(len(self.rulesets)), self.options]
        for each in (*self.rulesets, *filter(None, [self.workflow])):
            texts += [each.name, each.text]
        return _digest(texts)


@dataclass(frozen=True)
class Prepared:
    """What a decider has compiled."""

    resource: ResourceAny
    revision: str
    summary: str


@dataclass(frozen=True)
class Batch:
    """Paths that were asked about together while a policy was compiled, and what they were."""

    paths: tuple[str, ...]
    links: tuple[Link, ...]


#: Looks paths up. Raises `OSError` when it cannot be done at all.
LinkReader = Callable[[Sequence[str]], list[Link]]


class Links:
    """Answers for a preparation: read from the file system the first time, and the same ones every further time."""

    def __init__(self, reader: LinkReader | None, known: Iterator[Batch] | None = None) -> None:
        self._reader = reader
        self._known = known or iter(())
        self.seen: list[Batch] = []

    def answer(self, question: Any) -> Variant:
        """An answer in the WIT's types."""
        if question.tag != "read-links":
            raise ValueError("a preparation asks for something else than links")
        paths = tuple(question.payload)
        if self._reader is None:
            batch = next(self._known, None)
            if batch is None or batch.paths != paths:
                raise ValueError("a policy asks for other links than before")
            return Variant("read-links", [_variant(link) for link in batch.links])
        try:
            links = self._reader(paths)
        except OSError as error:
            return Variant("failed", str(error))
        self.seen.append(Batch(paths, tuple(links)))
        return Variant("read-links", [_variant(link) for link in links])


@dataclass(frozen=True)
class Settings:
    """The host's own switches among the options."""

    session_ttl_ms: int = 7 * DAY_MS
    open_call_ttl_ms: int = 3_600_000
    decision_log_required: bool = False
    cwd: str | None = None


@dataclass(eq=False)
class Policy:
    """A policy that guards use."""

    source: Source
    links: tuple[Batch, ...]
    revision: str
    summary: dict[str, Any]
    settings: Settings
    id: bytes = field(default=b"")

    @classmethod
    def of(cls, source: Source, links: Sequence[Batch], prepared: Prepared) -> Policy:
        """`prepared` is what `source` became with `links`."""
        summary: dict[str, Any] = json.loads(prepared.summary)
        options: dict[str, Any] = summary.get("options") or {}
        settings = Settings(
            session_ttl_ms=_milliseconds(options.get("session_ttl"), 7 * DAY_MS),
            open_call_ttl_ms=_milliseconds(options.get("open_call_ttl"), 3_600_000),
            decision_log_required=bool(options.get("decision_log_required")),
            cwd=options.get("cwd"),
        )
        texts = [source.key().hex()]
        for batch in links:
            texts += [*batch.paths, repr(batch.links)]
        return cls(source, tuple(links), prepared.revision, summary, settings, _digest(texts))

    @property
    def env(self) -> list[str]:
        """Names of the variables that its `env.*` selectors name."""
        return list(self.summary.get("env") or [])

    @property
    def needs(self) -> dict[str, Any]:
        """Kinds of questions it may ask: true, or the names it may ask about."""
        return dict(self.summary.get("needs") or {})

    def replay(self) -> Links:
        """The answers of its first preparation."""
        return Links(None, iter(self.links))

    def unchanged(self, reader: LinkReader) -> bool:
        """Whether the file system still answers as it did."""
        try:
            return all(reader(batch.paths) == list(batch.links) for batch in self.links)
        except OSError:
            return False


def _milliseconds(seconds: object, otherwise: int) -> int:
    return seconds * 1000 if isinstance(seconds, int) else otherwise


def _variant(link: Link) -> Variant:
    return Variant("target", link["target"]) if isinstance(link, dict) else Variant(link)


def _digest(texts: Sequence[str]) -> bytes:
    digest = hashlib.sha256()
    for text in texts:
        encoded = text.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(8, "little"))
        digest.update(encoded)
    return digest.digest()
