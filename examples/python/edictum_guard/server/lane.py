"""A lane: an instance of the component that talks to edictum-api, with an endpoint and one resource in it. It is made anew, from the
same options, when it has ended abnormally. Calls are done one at a time and may take as long as their requests: not in an event
loop.
"""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from wasmtime import Store, WasiConfig, WasmtimeError
from wasmtime.component import Func, Linker, Record, ResourceAny

from ..component import TICK
from ..decider import Abnormal, Code, typed
from ..errors import EngineError
from ..host import Host
from .errors import EdictumServerError

_API = "edictum:server/api@0.1.0"

#: A call makes several requests one after the other at most: so many times the time of one, and so many seconds beside.
_ATTEMPTS = 8
_BESIDE = 30.0

#: Bytes of memory of one lane.
_MEMORY = 256 << 20


@dataclass(frozen=True)
class Connect:
    """Address, identity and credential."""

    url: str
    api_key: str = field(repr=False)
    agent_id: str = "default"
    env: str = "production"
    tags: Mapping[str, str] = field(default_factory=dict)
    allow_insecure: bool = False
    #: Seconds of one attempt of a request.
    timeout: float = 30.0

    def options(self) -> dict[str, Any]:
        """As `endpoint.open` takes them, but for the seed."""
        return {
            "url": self.url,
            "agent_id": self.agent_id,
            "env": self.env,
            "tags": dict(self.tags),
            "allow_insecure": self.allow_insecure,
            "timeout_ms": max(1, int(self.timeout * 1000)),
        }


#: What a lane opens on an endpoint: the resource's name, its options, and further arguments of its `open`. Asked for anew with each
#: instance. None: the endpoint itself is the lane.
Opens = Callable[[], "tuple[str, dict[str, Any], tuple[Any, ...]] | None"]


class Lane:
    """See the module."""

    def __init__(self, host: Host, connect: Connect, opens: Opens) -> None:
        """Makes the first instance: what is wrong with the options is told now.

        Raises:
            EdictumServerError: the address is not permitted, the key cannot be one, an option is wrong.
        """
        self._code: Code = host.lanes()
        self._connect = connect
        self._opens = opens
        self._lock = threading.Lock()
        self._instance: _Instance | None = _Instance(self._code, connect, opens)

    def call(self, name: str, *arguments: Any) -> Any:
        """One call of a method of the lane's resource.

        Raises:
            EngineError: its instance ended abnormally. The next call has a new one.
        """
        with self._lock:
            instance = self._instance or _Instance(self._code, self._connect, self._opens)
            self._instance = None
            try:
                result = instance.call(name, *arguments)
            except (WasmtimeError, Abnormal) as error:
                raise EngineError(f"a call of edictum-api ended abnormally: {error}") from error
            self._instance = instance
            return result


class _Instance:
    def __init__(self, code: Code, connect: Connect, opens: Opens) -> None:
        self._code = code
        self._ticks = int((connect.timeout * _ATTEMPTS + _BESIDE) / TICK)
        self._functions: dict[str, Func] = {}
        self._store = Store(code.engine)
        self._store.set_limits(memory_size=_MEMORY, table_elements=1 << 20)
        self._store.set_wasi(WasiConfig())
        self._store.set_wasi_http()
        self._store.set_epoch_deadline(self._ticks)
        linker = Linker(code.engine)
        linker.add_wasip2()
        linker.add_wasi_http()
        try:
            self._instance = linker.instantiate(self._store, code.component)
            # Random, so that this client's waiting times are not those of others.
            options = json.dumps({**connect.options(), "seed": secrets.randbelow(1 << 53)})
            self._endpoint = self._opened("[static]endpoint.open", options, connect.api_key)
            self._name, self._resource = "endpoint", self._endpoint
            wanted = opens()
            if wanted is not None:
                self._name, own, further = wanted
                name = f"[static]{self._name}.open"
                self._resource = self._opened(name, self._endpoint, json.dumps(own), *further)
        except (WasmtimeError, Abnormal) as error:
            raise EngineError(f"no instance can be made: {error}") from error

    def call(self, name: str, *arguments: Any) -> Any:
        return self._called(f"[method]{self._name}.{name}", self._resource, *arguments)

    def _opened(self, name: str, *arguments: Any) -> ResourceAny:
        opened = self._called(name, *arguments)
        if isinstance(opened, Record):
            raise EdictumServerError.of(opened)
        resource: ResourceAny = opened
        return resource

    def _called(self, name: str, *arguments: Any) -> Any:
        function = self._functions.get(name)
        if function is None:
            function = self._instance.get_func(self._store, self._code.index(_API, name))
            if function is None:
                raise EngineError(f"the component has no function `{name}`")
            self._functions[name] = function
        self._store.set_epoch_deadline(self._ticks)
        return typed(function, self._store, *arguments)
