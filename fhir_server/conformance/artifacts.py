"""The FHIR artifacts of this server, read from ``profiles/`` and ``terminology/`` once at start.

profiles/structure_definitions/*.json   extensions and profiles
profiles/operation_definitions/*.json   one a file, named as its id
profiles/search_parameters/*.json       read by fhir_server.search.definitions
profiles/examples/*.json                valid resources
profiles/topics/*.json                  SubscriptionTopics of R5
terminology/code_systems/*.json         terminology/value_sets/*.json
terminology/concept_maps/*.json
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fhir_server.errors import Problem
from fhir_server.fhir.json import parse

Resource = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Artifacts:
    """Artifacts and topics by ``url``, operations by ``id`` (``Appointment-find``), examples by ``Type/id``."""

    structure_definitions: dict[str, Resource]
    operation_definitions: dict[str, Resource]
    code_systems: dict[str, Resource]
    value_sets: dict[str, Resource]
    concept_maps: dict[str, Resource]
    examples: dict[str, Resource]
    topics: dict[str, Resource]
    search_parameters: Path

    @classmethod
    def load(cls, root: Path | None = None) -> Artifacts:
        """Read every artifact below ``root``, the folder that holds ``profiles`` and ``terminology``.

        Without a root that is the package itself (installed from a wheel) or the checkout around it. Raises
        ``ValueError`` naming the file that is no FHIR JSON, and ``FileNotFoundError`` when the folders are missing.
        """
        base = root or _root()
        profiles, terminology = base / "profiles", base / "terminology"
        return cls(
            structure_definitions=_read(profiles / "structure_definitions", "url"),
            operation_definitions=_read(profiles / "operation_definitions", "id"),
            code_systems=_read(terminology / "code_systems", "url"),
            value_sets=_read(terminology / "value_sets", "url"),
            concept_maps=_read(terminology / "concept_maps", "url"),
            examples={
                f"{example['resourceType']}/{example['id']}": example
                for example in _read(profiles / "examples", "id").values()
            },
            topics=_read(profiles / "topics", "url"),
            search_parameters=profiles / "search_parameters",
        )

    def profiles_of(self, type_name: str) -> tuple[str, ...]:
        """Canonical URLs of our profiles on a resource type."""
        return tuple(
            url
            for url, definition in self.structure_definitions.items()
            if definition["type"] == type_name and definition["derivation"] == "constraint"
        )

    def codes(self, system: str) -> frozenset[str]:
        """The codes of one of our code systems; raises ``KeyError`` for a system that is not ours."""
        return frozenset(concept["code"] for concept in self.code_systems[system]["concept"])


def _root() -> Path:
    package = Path(__file__).resolve().parents[1]
    return package if (package / "profiles").is_dir() else package.parent


def _read(folder: Path, key: str) -> dict[str, Resource]:
    if not folder.is_dir():
        msg = f"no folder {folder}"
        raise FileNotFoundError(msg)
    found: dict[str, Resource] = {}
    for path in sorted(folder.glob("*.json")):
        try:
            resource = parse(path.read_bytes())
            found[resource[key]] = resource
        except (Problem, KeyError, TypeError) as fault:
            msg = f"{path} is no FHIR artifact: {fault}"
            raise ValueError(msg) from fault
    return found
