"""Puts the component into the package: from `target/component` of the checkout, or from where a source distribution has it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

COMPONENTS = ("edictum-decider.wasm", "edictum-guard.wasm")


class ComponentHook(BuildHookInterface[Any]):
    """See the module."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            # In a checkout it is found where it is built.
            return
        root = Path(self.root)
        for name in COMPONENTS:
            inside = f"edictum_guard/wasm/{name}"
            built = root.parent.parent / "target" / "component" / name
            if built.is_file():
                build_data["force_include"][str(built)] = inside
            elif not (root / inside).is_file() and name == COMPONENTS[0]:
                raise FileNotFoundError(f"`{built}` is missing: run `cargo xtask build` first")
