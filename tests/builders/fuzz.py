"""Random requests: every route, header and body, whole and damaged; they follow from a seed."""

from __future__ import annotations

import copy
import json
import random
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fhir_server.fhir.json import parse
from fhir_server.fhir.types import CONFORMANCE_TYPES, RESOURCE_TYPES
from fhir_server.fhir.xml import to_xml
from fhir_server.rest.operations.table import OPERATIONS
from fhir_server.search.definitions import Definitions
from tests.builders.smallest import smallest

EXAMPLES = [
    json.loads(path.read_text()) for path in sorted((Path(__file__).parents[2] / "profiles/examples").glob("*.json"))
]
HOSTILE: list[Any] = [
    "",
    " ",
    "x" * 5000,
    "\u0000",
    "a\u0301\u202e",
    "'; drop",
    "$where",
    {"$gt": ""},
    [],
    {},
    [[]],
    None,
    True,
    -1,
    0,
    1e308,
    99999999999999999999,
    0.1,
    "2026-13-40",
    "9999-12-31T23:59:59Z",
    "0000-01-01",
    "2026-02-30",
    "Patient/",
    "Patient?identifier=x",
    "#",
    "urn:uuid:",
    "http://[::1",
    "../../etc/passwd",
    "%00",
    "javascript:alert(1)",
    {"reference": "Patient/1/_history/x"},
    {"extension": [{"url": "x"}]},
    [None],
    [{}],
    "<div>",
    "&x;",
]
TEXTS = [
    "",
    "x",
    "a,b",
    "a\\,b",
    "|",
    "||",
    "a|",
    "|b",
    "a|b|c",
    "$",
    "a$b",
    ".*",
    "(((((",
    "$where",
    "{'$gt':''}",
    "\u0000",
    "\ud7ff",
    "é" * 300,
    "1e999",
    "-0",
    "ge",
    "ge2026",
    "eq2026-02-30",
    "2026-01-01T25:00:00Z",
    "ap9999",
    "0|0",
    "91|181|5|km",
    "1|1|-1|km",
    "Patient/1",
    "Patient/1/_history/2",
    "http://x/Patient/1",
    "*:*",
    "true",
    "100",
    "5.40e-3|http://unitsofmeasure.org|mg",
    ",".join("x" * 3 for _ in range(400)),
    "%",
    "%zz",
    "+",
    "next",
]
MODIFIERS = [
    "",
    "",
    "",
    ":exact",
    ":contains",
    ":missing",
    ":not",
    ":text",
    ":in",
    ":not-in",
    ":above",
    ":below",
    ":of-type",
    ":identifier",
    ":Patient",
    ":iterate",
    ":bogus",
    ":",
    "::",
    ".name",
    ".x.y.z.a.b.c.d",
]
CONTROLS = [
    "_id",
    "_lastUpdated",
    "_tag",
    "_profile",
    "_security",
    "_source",
    "_count",
    "_sort",
    "_include",
    "_revinclude",
    "_include:iterate",
    "_summary",
    "_elements",
    "_total",
    "_page",
    "_format",
    "_pretty",
    "_type",
    "_since",
    "_at",
    "_has",
    "_has:Appointment:patient:status",
    "_has:x",
    "_list",
    "_filter",
    "_contained",
    "code",
    "system",
    "url",
    "start",
    "end",
    "filter",
    "offset",
    "profile",
    "mode",
    "service",
    "service-type",
    "practitioner",
    "first-available",
    "",
]
HEADERS: dict[str, list[str]] = {
    "Accept": [
        "*/*",
        "application/fhir+json",
        "application/fhir+xml",
        "application/fhir+xml;q=0.3, */*;q=0.1",
        "text/html",
        "text/plain",
        "application/fhir+json; fhirVersion=5.0",
        ";;;,,",
        "application/json;q=x",
        "",
    ],
    "Content-Type": [
        "application/fhir+json",
        "application/fhir+xml",
        "application/json",
        "application/json-patch+json",
        "application/merge-patch+json",
        "text/plain",
        "",
        "application/fhir+json; charset=latin-1",
        "text/xml",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
    ],
    "If-Match": ['W/"1"', '"1"', "*", "abc", 'W/"', 'W/"1", W/"2"', 'W/"99999999999999999999"', ""],
    "If-None-Match": ["*", 'W/"1"', "x", '"', ""],
    "If-None-Exist": ["", "identifier=x|y", "bogus=1", "_sort=name", "?name=x", "identifier=%zz", "&&&", "_id=1"],
    "If-Modified-Since": ["Tue, 24 Nov 2026 00:00:00 GMT", "yesterday", "", "Tue, 99 Nov 2026 00:00:00 GMT"],
    "Prefer": [
        "return=minimal",
        "return=OperationOutcome",
        "handling=strict",
        "handling=lenient",
        "return=x",
        "respond-async",
        ";",
    ],
    "Idempotency-Key": ["k1", "", "x" * 300, '"q"'],
    "X-Client-Id": ["a", "x" * 200, ""],
    "X-Request-Id": ["r1", "x" * 500, "bad\tid"],
    "X-Forwarded-Host": ["evil.example"],
    "Forwarded": ["host=evil.example;proto=https"],
}
METHODS = ["GET"] * 6 + ["POST"] * 5 + ["PUT"] * 3 + ["PATCH"] * 3 + ["DELETE", "HEAD", "OPTIONS", "BREW"]


class Fuzz:
    """One stream of requests."""

    def __init__(self, seed: int, definitions: Definitions) -> None:
        self.random = random.Random(seed)
        self.codes = {type_: list(definitions.of(type_)) for type_ in RESOURCE_TYPES}
        self.operations = [name for _, name in OPERATIONS]

    def request(self) -> dict[str, Any]:
        pick = self.random.choice
        method = pick(METHODS)
        found: dict[str, Any] = {"method": method, "url": self.path(), "headers": self.headers()}
        if method in {"POST", "PUT", "PATCH"} or self.random.random() < 0.05:
            body, kind = self.body(method)
            found["content"] = body
            if self.random.random() < 0.8:
                found["headers"]["Content-Type"] = kind
        return found

    def path(self) -> str:
        pick, chance = self.random.choice, self.random.random
        type_ = (
            pick(RESOURCE_TYPES) if chance() < 0.85 else pick([*CONFORMANCE_TYPES, "Observation", "patient", "$x", ""])
        )
        id_ = pick(
            ["1", "none", "example-patient", "x" * 65, "a$b", "..", "%2e%2e", "a%00b", "é", "$find", "_history", "0"]
        )
        operation = f"${pick([*self.operations, 'nope', ''])}"
        url = pick(
            [
                type_,
                type_,
                type_,
                f"{type_}/{id_}",
                f"{type_}/{id_}",
                f"{type_}/{id_}/_history",
                f"{type_}/_history",
                f"{type_}/{id_}/_history/{pick(['1', '0', '-1', 'x', '9' * 30])}",
                f"{type_}/_search",
                f"{type_}/{operation}",
                f"{type_}/{id_}/{operation}",
                "",
                "_history",
                "_search",
                "metadata",
                f"Patient/{id_}/{pick([type_, '*'])}",
                f"Patient/{id_}/{type_}/_search",
                f"{type_}//{id_}",
                f"{type_}/{id_}/x/y/z",
            ]
        )
        if chance() < 0.6:
            names = self.codes.get(type_, ["name"])
            pairs = [
                f"{pick(names) if chance() < 0.6 else pick(CONTROLS)}{pick(MODIFIERS)}={self.text()}"
                for _ in range(self.random.randint(1, 4))
            ]
            url += "?" + pick(["&", "&&", "&"]).join(pairs)
        return url

    def text(self) -> str:
        """A query value, mostly escaped."""
        text: str = self.random.choice(TEXTS)
        return quote(text, safe="") if self.random.random() < 0.9 else quote(text, safe="%+|,$:/")

    def headers(self) -> dict[str, str]:
        named = self.random.sample(list(HEADERS), self.random.choice([0, 0, 1, 1, 2, 3]))
        return {name: self.random.choice(HEADERS[name]) for name in named}

    def body(self, method: str) -> tuple[bytes, str]:
        pick, chance = self.random.choice, self.random.random
        resource: Any = json.loads(json.dumps(self.resource(method)))
        for _ in range(pick([0, 0, 1, 1, 2, 4])):
            self.mutate(resource)
        if chance() < 0.2:
            try:
                raw = to_xml(parse(json.dumps(resource).encode()))
            except Exception:  # noqa: BLE001  a mutant that has no XML is sent as JSON
                raw = b""
            if raw:
                return self.damaged(raw), "application/fhir+xml"
        raw = json.dumps(resource, ensure_ascii=False).encode("utf-8", "surrogatepass")
        kind = pick(["application/json-patch+json", "application/merge-patch+json", "application/fhir+json"])
        return self.damaged(raw), kind if method == "PATCH" else "application/fhir+json"

    def damaged(self, raw: bytes) -> bytes:
        if self.random.random() > 0.15 or not raw:
            return raw
        at = self.random.randrange(len(raw))
        return self.random.choice(
            [
                raw[:at],
                raw[:at] + bytes([self.random.randrange(256)]) + raw[at + 1 :],
                raw + raw[:50],
                b"\xef\xbb\xbf" + raw,
                raw[:at] + b"\xed\xa0\x80" + raw[at:],
                b"[" * 5000,
                b'{"a":' * 3000,
                b"",
                b"null",
                b"NaN",
                raw.replace(b":", b"=", 1),
            ]
        )

    def resource(self, method: str) -> Any:
        pick, chance = self.random.choice, self.random.random
        if method == "PATCH":
            path = pick(
                ["/status", "/id", "/meta/versionId", "/participant/0/status", "/a/b", "", "/~2", "/name/-", "/99"]
            )
            change = {"op": pick(["add", "remove", "replace", "move", "copy", "test", "x"]), "path": path}
            return pick([[change | {"value": self.hostile(), "from": "/id"}], {"status": self.hostile()}, self.patch()])
        example = pick(EXAMPLES) if chance() < 0.5 else smallest(pick(RESOURCE_TYPES), pick(["1", "f-1", "f-2"]))
        if chance() < 0.25:
            entry = {"resource": example, "fullUrl": pick(["urn:uuid:1", "urn:uuid:c1", "http://x/Patient/1"])}
            url = pick(
                [example["resourceType"], f"{example['resourceType']}/{example['id']}", "Patient?name=x", "../x", "$x"]
            )
            asked = {"method": pick(["POST", "PUT", "DELETE", "GET", "PATCH", "BREW"]), "url": url}
            entries = [{**entry, "request": asked}] * pick([1, 1, 2, 30])
            return {"resourceType": "Bundle", "type": pick(["batch", "transaction", "collection"]), "entry": entries}
        if chance() < 0.25:
            part = {
                "name": pick(
                    ["resource", "start", "end", "patient", "slot", "appointment", "url", "code", "meta", "mode"]
                )
            }
            value = pick(
                [
                    {"resource": example},
                    {"valueString": "x"},
                    {"valueDateTime": "2026"},
                    {"valueUri": "x"},
                    {"part": []},
                ]
            )
            return {"resourceType": "Parameters", "parameter": [{**part, **value}] * pick([1, 2])}
        return example

    def patch(self) -> dict[str, Any]:
        """A FHIRPath Patch."""
        paths = [
            "Appointment.status",
            "Patient.name[0]",
            "Slot",
            "x.y",
            "Patient.where(",
            "Patient.name.where(use='x')",
            "",
        ]
        parts = [
            {"name": "type", "valueCode": self.random.choice(["add", "insert", "delete", "replace", "move", "x"])},
            {"name": "path", "valueString": self.random.choice(paths)},
            {"name": "name", "valueString": "status"},
            {"name": "value", "valueCode": "x"},
            {"name": "index", "valueInteger": -1},
        ]
        return {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": parts}]}

    def hostile(self) -> Any:
        return copy.deepcopy(self.random.choice(HOSTILE))

    def mutate(self, node: Any) -> None:
        """Change one place of a JSON tree."""
        pick, chance = self.random.choice, self.random.random
        while isinstance(node, dict | list) and node:
            key = pick(list(node)) if isinstance(node, dict) else self.random.randrange(len(node))
            if isinstance(node[key], dict | list) and node[key] and chance() < 0.7:
                node = node[key]
                continue
            act = self.random.randrange(5)
            if act == 0:
                del node[key]
            elif act == 1 and isinstance(node, dict):
                node[pick(["bogus", f"_{key}", "extension", "contained", "$ref", "meta", "id", "resourceType"])] = pick(
                    HOSTILE
                )
            elif act == 2:
                node[key] = [copy.deepcopy(node[key]) for _ in range(pick([1, 3]))]
            else:
                node[key] = self.hostile()
            return
