"""A second, slow reading of FHIR search straight from resources, written from the specification for the random tests.

It shares no code with the server: no index values, no syntax tree.
"""

from __future__ import annotations

import math
import re
import unicodedata
from datetime import UTC, datetime, timedelta
from decimal import Decimal

BASE = "https://ehr.example/fhir/"
ELEMENTS = {
    ("Appointment", "status"): ["status"],
    ("Appointment", "part-status"): ["participant", "status"],
    ("Appointment", "identifier"): ["identifier"],
    ("Appointment", "service-type"): ["serviceType"],
    ("Appointment", "date"): ["start"],
    ("Appointment", "requested-period"): ["requestedPeriod"],
    ("Appointment", "actor"): ["participant", "actor"],
    ("Appointment", "patient"): ["participant", "actor"],
    ("Appointment", "location"): ["participant", "actor"],
    ("Patient", "name"): ["name"],
    ("Patient", "family"): ["name", "family"],
    ("Patient", "given"): ["name", "given"],
    ("Patient", "birthdate"): ["birthDate"],
    ("Patient", "death-date"): ["deceasedDateTime"],
    ("Patient", "active"): ["active"],
    ("Patient", "telecom"): ["telecom"],
    ("Patient", "phone"): ["telecom"],
    ("Patient", "identifier"): ["identifier"],
    ("Encounter", "status"): ["status"],
    ("Encounter", "class"): ["class"],
    ("Encounter", "date"): ["period"],
    ("Encounter", "location-period"): ["location", "period"],
    ("Encounter", "length"): ["length"],
    ("Location", "near"): ["position"],
    ("Group", "characteristic"): ["characteristic", "code"],
    ("Group", "characteristic-value"): ["characteristic"],
    ("Group", "exclude"): ["characteristic", "exclude"],
    ("Slot", "_profile"): ["meta", "profile"],
    ("Slot", "_source"): ["meta", "source"],
    ("Slot", "start"): ["start"],
    ("Slot", "status"): ["status"],
    ("Slot", "specialty"): ["specialty"],
}
STRINGS, DATES = (
    {"name", "family", "given"},
    {"date", "requested-period", "birthdate", "death-date", "location-period", "start"},
)
REFERENCES, URIS = {"actor", "patient", "location"}, {"_profile", "_source"}
TREE = "abc"
MEMBERS = {"http://v": [("http://x.example", "a"), ("http://y.example", "b")], "http://none": []}


def holds(doc, resource, name, value, now_ms):
    """Whether one ``name=value`` is true for the resource (``doc`` has its id and its time)."""
    code, _, modifier = name.partition(":")
    if modifier == "missing" and code.startswith("_") and code not in URIS:
        return value == "false"
    if code == "_id":
        found = any(doc["_id"] == one for one in pieces(value, ","))
    elif code == "_lastUpdated":
        found = any(day(one, [(doc["at"], doc["at"] + 1)], now_ms) for one in pieces(value, ","))
    else:
        elements = values(resource, code)
        if modifier == "missing":
            return (not elements) == (value == "true")
        found = any(one_holds(code, modifier, one, elements, now_ms) for one in pieces(value, ","))
    return not found if modifier in ("not", "not-in") else found


def place(doc, resource, code):
    """By what a resource is sorted, ``None`` without a value: of several values the first."""
    if code in ("_id", "_lastUpdated"):
        return doc["_id"] if code == "_id" else doc["at"]
    elements = values(resource, code)
    if not elements:
        return None
    first = elements[0]
    if code in STRINGS:
        return folded(words(first)[0])
    if code in DATES or code == "-date-or-req-period":
        return max(span(first)[0], datetime(1, 1, 1, tzinfo=UTC).timestamp() * 1000)
    if code == "length":
        return float(first["value"])
    if code in URIS:
        return first
    if code in REFERENCES:
        if "reference" in first:
            return first["reference"].removeprefix(BASE).split("/_history")[0]
        return f"#={first['identifier']['value']}" if "identifier" in first else ""
    (coding, *_) = codings(first) or [{"code": None}]
    code = coding if isinstance(coding, str) else coding.get("code", coding.get("value"))
    return "" if code is None else f"={code}"


def pieces(text, mark):
    parts, escaped = [""], False
    for letter in text:
        if letter == mark and not escaped:
            parts.append("")
        else:
            parts[-1] += letter
        escaped = letter == "\\" and not escaped
    return [part for part in parts if part or mark == "|"]


def unescaped(text):
    return re.sub(r"\\([\\,|$])", r"\1", text)


def values(resource, code):
    kind = resource["resourceType"]
    if code == "-date-or-req-period":
        return values(resource, "date") + values(resource, "requested-period")
    if (kind, code) == ("Location", "name"):
        return [resource["name"], *resource["alias"]]
    if code == "deceased":
        return ["true" if "deceasedDateTime" in resource else "false"]
    if (kind, code) == ("Group", "value"):
        found = [value for trait in resource.get("characteristic", []) for value in trait_values(trait)]
        return sorted(found, key=lambda value: isinstance(value, bool))
    nodes = [resource]
    for step in ELEMENTS[kind, code]:
        reached = [node[step] for node in nodes if step in node]
        nodes = [item for each in reached for item in (each if isinstance(each, list) else [each])]
    if code == "characteristic-value":
        nodes = [node for node in nodes if trait_values(node)]
    if code == "phone":
        nodes = [node for node in nodes if node["system"] == "phone"]
    if code in ("patient", "location"):
        nodes = [node for node in nodes if kind_of(node) == code.capitalize()]
    return nodes


def trait_values(trait):
    return [trait[name] for name in ("valueCodeableConcept", "valueBoolean") if name in trait]


def kind_of(node):
    if "reference" in node:
        return re.search(r"(\w+)/\d+(/_history/\d+)?$", node["reference"])[1]
    return node.get("type")


def one_holds(code, modifier, text, elements, now_ms):
    if code in STRINGS:
        return any(string(modifier, unescaped(text), each) for node in elements for each in words(node))
    if code in DATES or code == "-date-or-req-period":
        return day(text, [span(node) for node in elements], now_ms)
    if code in REFERENCES:
        if modifier == "identifier":
            return any(token(text, node["identifier"]) for node in elements if "identifier" in node)
        return any(refers(code, text, node) for node in elements)
    if code in URIS:
        return any(url(modifier, text, node) for node in elements)
    if code == "characteristic-value":
        return any(all_parts(pieces(text, "$"), node) for node in elements)
    if modifier in ("text", "of-type", "in", "not-in", "above", "below"):
        return any(TOKENS[modifier](text, node) for node in elements)
    if code == "length":
        return any(amount(text, node) for node in elements)
    if code == "near":
        return any(close(text, node) for node in elements)
    return any(token(text, coding) for node in elements for coding in codings(node))


def words(node):
    if isinstance(node, str):
        return [node]
    return [node["family"], *node.get("given", [])]


def string(modifier, wanted, text):
    if modifier == "exact":
        return unicodedata.normalize("NFC", text) == unicodedata.normalize("NFC", wanted)
    text, wanted = folded(text), folded(wanted)
    return wanted in text if modifier == "contains" else text[: len(wanted)] == wanted


def folded(text):
    bare = "".join(mark for mark in unicodedata.normalize("NFD", text) if unicodedata.category(mark) != "Mn")
    return re.sub(r"\s+", " ", bare.casefold()).strip()


def codings(node):
    if isinstance(node, bool):
        return [str(node).lower()]
    if isinstance(node, dict) and ("coding" in node or "text" in node):
        return node.get("coding", [])
    return [node]


def token(text, coding):
    parts = pieces(text, "|")
    if isinstance(coding, str):
        return parts[-1] == coding
    code, system = coding.get("code", coding.get("value")), coding.get("system")
    if len(parts) == 1:
        return code == parts[0]
    return (system or "") == parts[0] and parts[1] in ("", code)


def all_parts(parts, trait):
    kind = any(token(parts[0], coding) for coding in codings(trait["code"]))
    return kind and any(token(parts[1], coding) for value in trait_values(trait) for coding in codings(value))


def coded(node):
    return [each for each in codings(node) if isinstance(each, dict)]


def displayed(text, node):
    if isinstance(node, bool):
        return False
    concept = node.get("type", {}) if "value" in node else node
    shown = [concept.get("text")] + ([] if "value" in node else [each.get("display") for each in coded(node)])
    return any(each is not None and folded(each).startswith(folded(unescaped(text))) for each in shown)


def of_type(text, node):
    system, code, value = text.split("|")
    kinds = node.get("type", {}).get("coding", [])
    return node["value"] == value and any((each.get("system"), each["code"]) == (system, code) for each in kinds)


def member(text, node):
    return any((each.get("system"), each["code"]) in MEMBERS[text] for each in coded(node))


def related(sign):
    def holds_for(text, node):
        system, code = text.split("|")
        found = [TREE.index(each["code"]) - TREE.index(code) for each in coded(node) if each.get("system") == system]
        return any(each * sign >= 0 for each in found)

    return holds_for


TOKENS = {
    "text": displayed, "of-type": of_type, "in": member, "not-in": member, "above": related(-1), "below": related(1),
}  # fmt: skip


def url(modifier, text, node):
    bare = node.split("|")[0]
    if not modifier:
        return text in (node, bare)
    upper, lower = (text, bare) if modifier == "below" else (bare, text)
    return lower.split("/")[: len(upper.split("/"))] == upper.split("/")


def refers(code, text, node):
    if "reference" not in node:
        return False
    stored = node["reference"].removeprefix(BASE).split("/_history")[0]
    text = text.removeprefix(BASE)
    if text.isdigit():
        kinds = {"patient": ["Patient"], "location": ["Location"]}.get(code, ["Patient", "Practitioner", "Location"])
        return stored in [f"{kind}/{text}" for kind in kinds]
    return stored == text


def moment(text):
    """``(first, after)`` as datetimes."""
    if "T" in text:
        leap = ":60" in text
        first = datetime.fromisoformat(text.replace(":60", ":59")) + timedelta(seconds=leap)
        return first, first + (timedelta(milliseconds=1) if "." in text else timedelta(seconds=1))
    numbers = [int(part) for part in text.split("-")]
    first = datetime(*[*numbers, 1, 1][:3], tzinfo=UTC)
    if len(numbers) == 3:
        return first, first + timedelta(days=1)
    if len(numbers) == 2:
        return first, datetime(first.year + first.month // 12, first.month % 12 + 1, 1, tzinfo=UTC)
    return first, datetime(first.year + 1, 1, 1, tzinfo=UTC)


def span(node):
    if isinstance(node, str):
        return tuple(each.timestamp() * 1000 for each in moment(node))
    first = moment(node["start"])[0].timestamp() * 1000 if "start" in node else -math.inf
    return first, moment(node["end"])[1].timestamp() * 1000 if "end" in node else math.inf


def day(text, spans, now_ms):
    prefix, rest = re.fullmatch(r"([a-z]{2})?(.*)", text).groups()
    low, high = span(rest)
    near = abs(now_ms - low) // 10
    return any(
        {
            "eq": low <= first and after <= high,
            "ne": not (low <= first and after <= high),
            "gt": after > high,
            "lt": first < low,
            "ge": after > low,
            "le": first < high,
            "sa": first >= high,
            "eb": after <= low,
            "ap": first < high + near and after > low - near,
        }[prefix or "eq"]
        for first, after in spans
    )


def amount(text, node):
    number, *unit = text.split("|")
    prefix, digits = re.fullmatch(r"([a-z]{2})?(.*)", number).groups()
    if unit and (unit[1] not in (node["code"], node["unit"]) or unit[0] not in ("", node["system"])):
        return False
    wanted, value = Decimal(digits), node["value"]
    half = Decimal("0.5") if digits == "3e1" else Decimal(5).scaleb(wanted.as_tuple().exponent - 1)
    inside = wanted - half <= value < wanted + half
    return {
        "eq": inside,
        "ne": not inside,
        "gt": value > wanted,
        "sa": value > wanted,
        "lt": value < wanted,
        "eb": value < wanted,
        "ge": value >= wanted,
        "le": value <= wanted,
        "ap": abs(value - wanted) <= wanted / 10,
    }[prefix or "eq"]


def close(text, node):
    latitude, longitude, kilometres, _ = text.split("|")
    one, other = (
        [math.radians(float(each)) for each in pair]
        for pair in ((latitude, longitude), (node["latitude"], node["longitude"]))
    )
    angle = math.sin(one[0]) * math.sin(other[0]) + math.cos(one[0]) * math.cos(other[0]) * math.cos(one[1] - other[1])
    return math.acos(max(-1.0, min(1.0, angle))) * 6378.1 <= float(kilometres)
