"""The rooms: who may import whom, how long a file may be, and who alone speaks to the outside."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SERVER = ROOT / "fhir_server"
SOURCES = sorted(SERVER.rglob("*.py"))
ROOMS_OF = {
    "pymongo": "fhir_server/store/",
    "bson": "fhir_server/store/",
    "motor": "fhir_server/store/",
    "gridfs": "fhir_server/store/",
    "fhir": "fhir_server/fhir/models.py",
    "httpx": "fhir_server/remote/",
    "httpx2": "fhir_server/remote/",
    "redis": "fhir_server/embedded/",
}


def imported(path: Path) -> Iterator[str]:
    """Absolute names of every module that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module


def test_the_contracts_of_the_rooms_hold() -> None:
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([program, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("folder", ["fhir_server", "tests", "bench"])
def test_no_file_is_longer_than_400_lines(folder: str) -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in (ROOT / folder).rglob("*.py")}
    assert {str(path): length for path, length in lengths.items() if length > 400} == {}


def test_the_domain_imports_only_the_standard_library() -> None:
    own = "fhir_server.scheduling"
    for path in (SERVER / "scheduling").glob("*.py"):
        strange = {
            name
            for name in imported(path)
            if name.partition(".")[0] not in sys.stdlib_module_names and not name.startswith(own)
        }
        assert strange == set(), path.name


def test_only_one_room_speaks_to_each_machine() -> None:
    for path in SOURCES:
        place = path.relative_to(ROOT).as_posix()
        for name in imported(path):
            room = ROOMS_OF.get(name.partition(".")[0])
            assert room is None or place.startswith(room), f"{place} imports {name}"


def test_a_package_is_one_line() -> None:
    for path in SERVER.rglob("__init__.py"):
        module = ast.parse(path.read_text())
        assert len(module.body) == 1, path
        assert ast.get_docstring(module), path


def test_a_module_opens_with_a_sentence() -> None:
    for path in SOURCES:
        assert ast.get_docstring(ast.parse(path.read_text())), path
