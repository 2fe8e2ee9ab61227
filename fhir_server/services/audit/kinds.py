"""What kinds of access there are, in the words of IHE BALP and DICOM.

interaction           type        subtype          BALP     client       server       person
--------------------  ----------  ---------------  -------  -----------  -----------  ---------
create                rest        create           Create   source       destination  author
read, vread           rest        the same         Read     destination  source       recipient
update, patch         rest        the same         Update   source       destination  author
delete                rest        delete           Delete   application  custodian    author
search, search-…      rest        search           Query    source       destination  recipient
history-…, batch, …   rest        the same                  destination  source       recipient
$…                    rest        operation, $…             source       destination  recipient
notification          110106      disclose                  destination  source       recipient
login, login-failed   110114      110122                    application  destination  recipient
logout                110114      110123                    application  destination  recipient
token, authorize, …   110114      own code                  application  destination  recipient

https://profiles.ihe.net/ITI/BALP/content.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from fhir_server.settings import CANONICAL

DCM = "http://dicom.nema.org/resources/ontology/DCM"
INTERACTION = "http://hl7.org/fhir/restful-interaction"
EVENT_TYPE = "http://terminology.hl7.org/CodeSystem/audit-event-type"
PARTICIPATION = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
OWN = f"{CANONICAL}CodeSystem/access-event"
PROFILE = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit."


@dataclass(frozen=True, slots=True)
class Code:
    """A Coding."""

    system: str
    code: str
    display: str = ""

    def coding(self) -> dict[str, str]:
        found = {"system": self.system, "code": self.code, "display": self.display}
        return {name: text for name, text in found.items() if text}


SOURCE = Code(DCM, "110153", "Source Role ID")
DESTINATION = Code(DCM, "110152", "Destination Role ID")
APPLICATION = Code(DCM, "110150", "Application")
CUSTODIAN = Code("http://terminology.hl7.org/CodeSystem/provenance-participant-type", "custodian", "Custodian")
RECIPIENT = Code(PARTICIPATION, "IRCP", "information recipient")
AUTHOR = Code(PARTICIPATION, "AUT", "author (originator)")
REST = Code(EVENT_TYPE, "rest", "RESTful Operation")
AUTHENTICATION = Code(DCM, "110114", "User Authentication")
EXPORT = Code(DCM, "110106", "Export")
DISCLOSE = Code(
    "http://terminology.hl7.org/CodeSystem/iso-21089-lifecycle", "disclose", "Disclose Record Lifecycle Event"
)
LOGIN = Code(DCM, "110122", "Login")
LOGOUT = Code(DCM, "110123", "Logout")


@dataclass(frozen=True, slots=True)
class Kind:
    """``profile`` is the middle of a BALP profile's name (``Read``), empty where BALP has none."""

    type: Code
    subtypes: tuple[Code, ...]
    profile: str
    client: Code
    server: Code
    person: Code


def _rest(code: str, profile: str, client: Code, server: Code, person: Code) -> Kind:
    return Kind(REST, (Code(INTERACTION, code),), profile, client, server, person)


def _authentication(*subtypes: Code) -> Kind:
    return Kind(AUTHENTICATION, subtypes, "", APPLICATION, DESTINATION, RECIPIENT)


KINDS: Mapping[str, Kind] = {
    "create": _rest("create", "Create", SOURCE, DESTINATION, AUTHOR),
    "read": _rest("read", "Read", DESTINATION, SOURCE, RECIPIENT),
    "vread": _rest("vread", "Read", DESTINATION, SOURCE, RECIPIENT),
    "update": _rest("update", "Update", SOURCE, DESTINATION, AUTHOR),
    "patch": _rest("patch", "Update", SOURCE, DESTINATION, AUTHOR),
    "delete": _rest("delete", "Delete", APPLICATION, CUSTODIAN, AUTHOR),
    "search": _rest("search", "Query", SOURCE, DESTINATION, RECIPIENT),
    "search-type": _rest("search", "Query", SOURCE, DESTINATION, RECIPIENT),
    "search-system": _rest("search", "Query", SOURCE, DESTINATION, RECIPIENT),
    **{
        code: _rest(code, "", DESTINATION, SOURCE, RECIPIENT)
        for code in ("history", "history-instance", "history-type", "history-system", "batch", "transaction")
    },
    "notification": Kind(EXPORT, (DISCLOSE,), "", DESTINATION, SOURCE, RECIPIENT),
    "login": _authentication(LOGIN),
    "login-failed": _authentication(LOGIN, Code(OWN, "login-failed", "Login failed")),
    "logout": _authentication(LOGOUT),
    **{
        code: _authentication(Code(OWN, code, display))
        for code, display in (
            ("authorize", "Authorization"),
            ("token", "Token issued"),
            ("refresh", "Token refreshed"),
            ("introspect", "Token introspected"),
            ("revoke", "Token or grant revoked"),
            ("register", "Client registered"),
            ("launch", "Launch context registered"),
        )
    },
}


@cache
def kind(interaction: str) -> Kind:
    """The kind of an interaction; of an operation, which begins with ``$``, and of what is none of the table."""
    found = KINDS.get(interaction)
    if found is not None:
        return found
    operation = Code(INTERACTION, "operation")
    return Kind(REST, (operation, Code("", interaction)), "", SOURCE, DESTINATION, RECIPIENT)
