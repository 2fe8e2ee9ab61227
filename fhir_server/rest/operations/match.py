"""``Patient/$match``, https://hl7.org/fhir/R4/patient-operation-match.html."""

from __future__ import annotations

from fhir_server.errors import Issue
from fhir_server.fhir.bundle import graded_bytes
from fhir_server.fhir.json import dump
from fhir_server.fhir.outcome import informational
from fhir_server.rest.answer import Answer
from fhir_server.rest.context import Context
from fhir_server.rest.operations.acts import check_resource
from fhir_server.rest.operations.arguments import arguments
from fhir_server.rest.operations.unknown import left_out
from fhir_server.services.match import match

KNOWN = frozenset({"resource", "onlyCertainMatches", "count"})
COUNT = 20
LARGEST_COUNT = 100


async def handle(context: Context) -> Answer:
    """A searchset of patients, each with its score and grade, best first."""
    given = await arguments(context)
    given.require("resource")
    patient = given.resource("resource", "Patient")
    assert patient is not None
    place = given.given("resource")[0].place
    check_resource(context.world, patient, "Patient", place)
    only_certain = given.boolean("onlyCertainMatches") or False
    count = min(given.integer("count", 1) or COUNT, LARGEST_COUNT)
    issues = left_out(context, set(given) - KNOWN)
    found = await match(context.world, patient, place=place, only_certain=only_certain)
    if found.several:
        text = "several patients match with certainty, so none is the one; ask without onlyCertainMatches to see them"
        issues.append(Issue(text, "onlyCertainMatches", "multiple-matches", severity="warning"))
    entries = [(f"{context.base}/Patient/{one.id}", one.body, one.score, one.grade) for one in found.found[:count]]
    outcome = dump(informational(issues)) if issues else None
    links = [("self", f"{context.base}/Patient/$match")]
    people = tuple(f"Patient/{one.id}" for one in found.found[:count])
    return Answer(200, graded_bytes(entries, outcome, len(found.found), links), patients=people)
