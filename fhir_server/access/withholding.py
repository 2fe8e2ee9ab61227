"""Taking out of a resource what its reader does not get to see, and putting it back when the reader writes it.

Pure: a resource and what is withheld in; the visible resource and the rest out. A resource of which something was taken
carries the security label REDACTED, so that nobody takes it for the whole.
https://terminology.hl7.org/CodeSystem-v3-ObservationValue.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

PEOPLE = frozenset({"Patient", "RelatedPerson"})
_PERSON = re.compile(r"(?:^|/)(?:Patient|RelatedPerson)/[A-Za-z0-9\-.]{1,64}", re.ASCII)

REDACTED = {
    "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
    "code": "REDACTED",
    "display": "redacted",
}


@dataclass(frozen=True, slots=True)
class Withheld:
    """What one reader does not see of one resource.

    ``elements`` go as a whole. ``own`` are the people of whom the list ``members[0]`` may speak by its references
    ``members[1]``; items about any other person go, None: nobody goes. ``extensions`` are the URLs that stay,
    None: all but ``removed``.
    """

    elements: frozenset[str] = frozenset()
    members: tuple[str, str] = ("", "")
    own: frozenset[str] | None = None
    extensions: frozenset[str] | None = None
    removed: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.elements or self.removed) or self.own is not None or self.extensions is not None

    def keeps(self, extension: Any) -> bool:
        """Whether an extension of the resource itself stays."""
        url = extension.get("url") if isinstance(extension, Mapping) else None
        return url not in self.removed and (self.extensions is None or url in self.extensions)

    def hides(self, item: Any) -> bool:
        """Whether an item of the list of members is about somebody else."""
        if self.own is None:
            return False
        reference = item.get(self.members[1]) if isinstance(item, Mapping) else None
        if not isinstance(reference, Mapping):
            return False
        literal = reference.get("reference")
        if isinstance(literal, str) and not literal.startswith("#"):
            named = _PERSON.search(literal)
            return named is not None and named[0].lstrip("/") not in self.own
        return reference.get("type", "Patient") in PEOPLE


def visible(resource: Mapping[str, Any], withheld: Withheld) -> dict[str, Any]:
    """The resource as the reader sees it; the same content where nothing has to go."""
    found = {name: value for name, value in resource.items() if name.removeprefix("_") not in withheld.elements}
    if withheld.own is not None and (listed := found.get(withheld.members[0])):
        found[withheld.members[0]] = [one for one in listed if not withheld.hides(one)]
    if "extension" in found:
        kept = [one for one in found["extension"] if withheld.keeps(one)]
        found = {**found, "extension": kept} if kept else _without(found, "extension")
    if all(found.get(name) == value for name, value in resource.items()):
        return found
    meta = dict(found.get("meta") or {})
    meta["security"] = [*(one for one in meta.get("security", ()) if not _is_label(one)), REDACTED]
    return {**found, "meta": meta}


def restored(before: Mapping[str, Any], after: Mapping[str, Any], withheld: Withheld) -> dict[str, Any]:
    """What a reader wrote over what they saw, with what they did not see as it was.

    Whatever they sent of what is withheld is left out: whether it was taken would tell them what was there.
    """
    found = {name: value for name, value in after.items() if name.removeprefix("_") not in withheld.elements}
    found |= {name: value for name, value in before.items() if name.removeprefix("_") in withheld.elements}
    if withheld.own is not None:
        name = withheld.members[0]
        _put_back(found, name, found.get(name, ()), before.get(name, ()), withheld.hides)
    sent = [one for one in found.get("extension", ()) if withheld.keeps(one)]
    _put_back(found, "extension", sent, before.get("extension", ()), lambda one: not withheld.keeps(one))
    return unlabelled(found)


def _put_back(
    found: dict[str, Any], name: str, sent: Iterable[Any], before: Iterable[Any], hidden: Callable[[Any], bool]
) -> None:
    """Set a list to what was sent, with the hidden items of the list before at their places."""
    items = list(sent)
    for place, one in enumerate(before):
        if hidden(one):
            items.insert(place, one)
    if items:
        found[name] = items
    else:
        found.pop(name, None)


def unlabelled(resource: Mapping[str, Any]) -> dict[str, Any]:
    """The resource without the label that only a reader's copy has."""
    meta = resource.get("meta")
    if not isinstance(meta, Mapping) or not any(_is_label(one) for one in meta.get("security", ())):
        return dict(resource)
    labels = [one for one in meta["security"] if not _is_label(one)]
    rest = _without(meta, "security") | ({"security": labels} if labels else {})
    return {**resource, "meta": rest} if rest else _without(resource, "meta")


def _is_label(label: Any) -> bool:
    return isinstance(label, Mapping) and (label.get("system"), label.get("code")) == (
        REDACTED["system"], REDACTED["code"],
    )  # fmt: skip


def _without(found: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in found.items() if key != name}
