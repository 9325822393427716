"""The component: where its bytes come from, and its machine code, compiled once and kept in the user's cache folder.

The cache: one file for each component, runtime and machine, in `EDICTUM_CACHE_DIR`, else `$XDG_CACHE_HOME/edictum`, else
`~/.cache/edictum`. Whoever can write such a file can run code as us, so it is used only when nobody else can write it or its
folder. A cache that cannot be used costs time and nothing else.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import platform
import stat
import tempfile
import threading
import weakref
from importlib import resources
from importlib.metadata import version
from pathlib import Path

from wasmtime import Config, Engine, WasmtimeError
from wasmtime.component import Component

from .errors import EngineError

log = logging.getLogger("edictum_guard")

#: Name a file that is used instead of the component of this package: of the one that decides, and of the one that talks to
#: edictum-api, too.
COMPONENT_VARIABLE = "EDICTUM_COMPONENT"
GUARD_VARIABLE = "EDICTUM_GUARD_COMPONENT"

#: Seconds between two looks of an instance whether its time is over.
TICK = 0.02


def find() -> bytes:
    """The component that decides, and imports nothing: of `EDICTUM_COMPONENT`, of this package, or of the checkout that this
    package lies in.

    Raises:
        EngineError: there is none.
    """
    return _find(COMPONENT_VARIABLE, "edictum-decider.wasm")


def find_guard() -> bytes:
    """The same for the component that talks to edictum-api (`EDICTUM_GUARD_COMPONENT`)."""
    return _find(GUARD_VARIABLE, "edictum-guard.wasm")


def _find(variable: str, name: str) -> bytes:
    named = os.environ.get(variable)
    if named:
        try:
            return Path(named).read_bytes()
        except OSError as error:
            raise EngineError(f"{variable}=`{named}` cannot be read: {error.strerror}") from error
    packaged = resources.files(__package__).joinpath("wasm").joinpath(name)
    if packaged.is_file():
        return packaged.read_bytes()
    for folder in Path(__file__).resolve().parents:
        built = folder / "target" / "component" / name
        if built.is_file():
            return built.read_bytes()
    raise EngineError(f"there is no `{name}`: run `cargo xtask build`, or name one in {variable}")


def engine() -> Engine:
    """An engine whose instances can be interrupted."""
    config = Config()
    config.epoch_interruption = True
    return Engine(config)


def load(engine: Engine, binary: bytes) -> Component:
    """The component's code: from the cache, or else compiled (some seconds), and then put there.

    Raises:
        EngineError: it is no component, or none for this runtime.
    """
    folder = _folder()
    path = folder / _file_name(binary) if folder else None
    if folder and path:
        cached = _read(engine, folder, path)
        if cached:
            return cached
    log.info("the component is compiled; this is done once")
    try:
        component = Component(engine, binary)
    except WasmtimeError as error:
        raise EngineError(f"the component cannot be compiled: {error}") from error
    if folder and path:
        try:
            _write(folder, path, bytes(component.serialize()))
        except OSError as error:
            log.debug("the compiled code is not cached: %s", error)
    return component


def tick(engine: Engine) -> None:
    """Advances the clock that instances look at, until the engine is gone."""
    known = weakref.ref(engine)
    pause = threading.Event()

    def ticker() -> None:
        while not pause.wait(TICK):
            alive = known()
            if alive is None:
                return
            alive.increment_epoch()
            del alive

    threading.Thread(target=ticker, name="edictum-epochs", daemon=True).start()


def _folder() -> Path | None:
    home = os.environ.get("HOME")
    cache = os.environ.get("XDG_CACHE_HOME")
    named = os.environ.get("EDICTUM_CACHE_DIR")
    for folder in (named, cache and f"{cache}/edictum", home and f"{home}/.cache/edictum"):
        if folder:
            return Path(folder) if os.path.isabs(folder) and hasattr(os, "geteuid") else None
    return None


def _file_name(binary: bytes) -> str:
    """Names what the code depends on; the runtime checks its version and configuration once more."""
    what = hashlib.sha256(hashlib.sha256(binary).digest())
    what.update(f"{version('wasmtime')} {platform.machine()} {platform.system()} epochs".encode())
    return f"python-{what.hexdigest()[:32]}.cwasm"


def _read(engine: Engine, folder: Path, path: Path) -> Component | None:
    try:
        if not (_ours(folder, stat.S_ISDIR) and _ours(path, stat.S_ISREG)):
            log.warning("the cached code in `%s` is not used: it is not only ours", path)
            return None
        return Component.deserialize_file(engine, str(path))
    except FileNotFoundError:
        return None
    except (OSError, WasmtimeError) as error:
        log.warning("the cached code in `%s` is not used: %s", path, error)
        return None


def _ours(path: Path, kind: object) -> bool:
    found = os.lstat(path)
    is_kind = kind(found.st_mode) if callable(kind) else False
    return bool(is_kind) and found.st_uid == os.geteuid() and not found.st_mode & 0o022


def _write(folder: Path, path: Path, code: bytes) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Made 0600, and put into its place as a whole.
    handle, name = tempfile.mkstemp(prefix=".python-", dir=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(code)
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise
