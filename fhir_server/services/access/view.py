"""Stored resources as the caller of a world sees them: every read that ends in an answer goes through here.

The engine reads ``world.store.resources`` itself, for what is busy is busy whoever asks. Whatever comes out of a view
is allowed and redacted; what is hidden is absent.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from fhir_server.access.caller import Role
from fhir_server.access.masking import masked, unmasked
from fhir_server.access.rules import IN_COMPANY, KEPT_EXTENSIONS, MEMBERS, OWNED, REMOVED_EXTENSIONS, WITHHELD
from fhir_server.access.withholding import Withheld, restored, unlabelled, visible
from fhir_server.fhir.json import dump, parse
from fhir_server.services.access.policy import READING
from fhir_server.services.access.questions import narrowed
from fhir_server.store.resources import Stored
from fhir_server.store.search import to_filter

if TYPE_CHECKING:
    from fhir_server.search.query import Clause
    from fhir_server.services.world import World

NOTHING = Withheld()


@dataclass(frozen=True, slots=True)
class View:
    """Reads for one caller."""

    world: World

    async def get(self, type_: str, id_: str) -> Stored | None:
        """The current version as the caller sees it; None where it is hidden or absent."""
        found = await self.world.store.resources.get(type_, id_)
        return await self.seen(found) if found else None

    async def seen(self, stored: Stored, permissions: str = READING) -> Stored | None:
        """A version as the caller sees it, None if they do not.

        The mark of a deletion is seen by who saw what was deleted.
        """
        policy = self.world.policy
        if not await policy.may(self.world, stored, permissions):
            return None
        return self.shown(stored)

    async def find(
        self, type_: str, clauses: Sequence[Clause], *, permissions: str = READING, **options: Any
    ) -> list[dict[str, Any]]:
        """Raw documents that match the clauses and are seen; bodies are not redacted yet (:meth:`body`)."""
        asked = await narrowed(self.world, type_, tuple(clauses), permissions)
        return [] if asked is None else await self.world.store.resources.find(type_, to_filter(asked), **options)

    def withheld(self, type_: str, patients: Iterable[str]) -> Withheld:
        """What the caller does not see of a resource of this type that is about these patients."""
        role = self.world.policy.caller.role
        elements = WITHHELD.get(role, {}).get(type_, frozenset())
        if role is not Role.PATIENT:
            return Withheld(elements) if elements else NOTHING
        extensions, removed = KEPT_EXTENSIONS.get(type_), REMOVED_EXTENSIONS.get(type_, frozenset())
        if type_ in IN_COMPANY:
            people = self.world.policy.known_people
            if not people.issuperset(patients):
                own = people | set(self.world.policy.caller.persons)
                members = MEMBERS.get(type_, ("", ""))
                return Withheld(elements | IN_COMPANY[type_], members, frozenset(own), extensions, removed)
        found = Withheld(elements, extensions=extensions, removed=removed)
        return found or NOTHING

    def shown(self, stored: Stored) -> Stored:
        """A version without what is withheld."""
        if self.world.policy.caller.role is Role.SYSTEM:
            return stored
        if stored.type in OWNED and stored.extra.get("owner") == self.world.policy.caller.party:
            return stored
        body = self.body(stored.type, stored.body, stored.extra.get("patients") or ())
        return stored if body is stored.body else replace(stored, body=body)

    def body(self, type_: str, body: bytes, patients: Iterable[str]) -> bytes:
        """The bytes of a resource without what is withheld; the same bytes where nothing is."""
        if type_ in OWNED:
            # Whoever reads what others own is an administrator, and secrets are not theirs.
            return dump(masked(parse(bytes(body)))) if body and self._is_administrator else body
        withheld = self.withheld(type_, patients)
        if not withheld or not body:
            return body
        resource = parse(bytes(body))
        seen = visible(resource, withheld)
        return body if seen == resource else dump(seen)

    @property
    def _is_administrator(self) -> bool:
        return self.world.policy.caller.role is Role.ADMINISTRATOR

    def rest(self, before: Stored, after: dict[str, Any]) -> dict[str, Any]:
        """What a caller writes over what they saw, with what they did not see as it was."""
        if before.type in OWNED:
            own = before.extra.get("owner") == self.world.policy.caller.party
            return unmasked(parse(before.body), after) if self._is_administrator and not own else unlabelled(after)
        withheld = self.withheld(before.type, before.extra.get("patients") or ())
        return restored(parse(before.body), after, withheld) if withheld else unlabelled(after)
