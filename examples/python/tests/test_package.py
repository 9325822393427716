"""The package as people get it: its README does what it says, and its wheel holds all it needs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

from conftest import PACKAGE, PATIENCE

import edictum_guard


def python(program: str, folder: Path, path: str) -> str:
    variables = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    variables.pop("EDICTUM_COMPONENT", None)
    found = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, env=variables, capture_output=True, text=True, timeout=PATIENCE * 3
    )
    assert found.returncode == 0, found.stderr
    return found.stdout


def test_the_readme_does_what_it_says(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (PACKAGE / "README.md").read_text(), re.DOTALL)
    programs = [block for block in blocks if "from_server" not in block]
    assert len(programs) == 3
    said = python("\n".join(programs), tmp_path, str(PACKAGE)).splitlines()
    announced = re.findall(r"print\(.*\) +# (.*)", "\n".join(programs))
    assert len(announced) == 4 and [line for line in said if line in announced] == announced, said


def test_the_wheel_holds_the_component_and_needs_no_checkout(tmp_path: Path) -> None:
    wheel = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(PACKAGE)]
    built = subprocess.run(wheel, capture_output=True, text=True, timeout=PATIENCE * 3)
    assert built.returncode == 0, built.stdout + built.stderr
    (file,) = tmp_path.glob("*.whl")
    installed = tmp_path / "installed"
    with zipfile.ZipFile(file) as archive:
        names = archive.namelist()
        archive.extractall(installed)
    assert {"edictum_guard/py.typed", "edictum_guard/wasm/edictum-decider.wasm"} <= set(names)
    program = (
        "import edictum_guard\n"
        "guard = edictum_guard.Edictum.from_template('file-agent')\n"
        "print(edictum_guard.__file__, guard.evaluate('read_file', {'path': '.env'}).decision)"
    )
    where, decision = python(program, tmp_path, str(installed)).split()
    assert where.startswith(str(installed)) and decision == "block"


def test_all_that_is_offered_is_there_and_documented() -> None:
    from edictum_guard import server

    for module in (edictum_guard, server):
        for name in module.__all__:
            assert getattr(module, name).__doc__, name
