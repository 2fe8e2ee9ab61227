"""What can go wrong, said once: a problem is a category plus words, and one table gives it HTTP status and issue code.

category        HTTP  issue.code      when
--------------  ----  --------------  -----------------------------------------------------------
INVALID         400   invalid         malformed request, value or parameter
STRUCTURE       400   structure       not JSON, wrong shape, unknown element
REQUIRED        400   required        a mandatory element or parameter is absent
NOT_SUPPORTED   400   not-supported   a parameter or modifier this server does not have
UNAUTHENTICATED 401   login           no token, or one that is none
FORBIDDEN       403   forbidden       the token or the role does not allow it
NOT_FOUND       404   not-found       absent or hidden
NO_METHOD       405   not-supported   the interaction is not offered here
NOT_ACCEPTABLE  406   not-supported   no representation that the client accepts
CONFLICT        409   conflict        the time is taken, a hold is foreign or expired
IN_PROGRESS     409   transient       the same Idempotency-Key is still running
GONE            410   deleted         the resource is deleted
PRECONDITION    412   conflict        If-Match does not match, criteria match several
TOO_LARGE       413   too-long        body over the limit
MEDIA_TYPE      415   not-supported   body in a format this server does not read
RULE            422   business-rule   a booking rule refuses
DUPLICATE       422   duplicate       an Idempotency-Key with another body
THROTTLED       429   throttled       too many holds or requests
EXCEPTION       500   exception       a defect of this server
UNAVAILABLE     503   transient       the database cannot promise now; Retry-After says when
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class Category(Enum):
    """One row of the table above: ``(name, HTTP status, issue.code)``."""

    INVALID = ("invalid", 400, "invalid")
    STRUCTURE = ("structure", 400, "structure")
    REQUIRED = ("required", 400, "required")
    NOT_SUPPORTED = ("not-supported", 400, "not-supported")
    UNAUTHENTICATED = ("unauthenticated", 401, "login")
    FORBIDDEN = ("forbidden", 403, "forbidden")
    NOT_FOUND = ("not-found", 404, "not-found")
    NO_METHOD = ("no-method", 405, "not-supported")
    NOT_ACCEPTABLE = ("not-acceptable", 406, "not-supported")
    CONFLICT = ("conflict", 409, "conflict")
    IN_PROGRESS = ("in-progress", 409, "transient")
    GONE = ("gone", 410, "deleted")
    PRECONDITION = ("precondition", 412, "conflict")
    TOO_LARGE = ("too-large", 413, "too-long")
    MEDIA_TYPE = ("media-type", 415, "not-supported")
    RULE = ("rule", 422, "business-rule")
    DUPLICATE = ("duplicate", 422, "duplicate")
    THROTTLED = ("throttled", 429, "throttled")
    EXCEPTION = ("exception", 500, "exception")
    UNAVAILABLE = ("unavailable", 503, "transient")

    @property
    def status(self) -> int:
        return self.value[1]

    @property
    def issue_code(self) -> str:
        return self.value[2]


@dataclass(frozen=True, slots=True)
class Issue:
    """One ``OperationOutcome.issue`` to be.

    ``text`` holds no patient data. ``expression`` is a FHIRPath place such as ``Appointment.participant[0].actor``.
    ``code`` is a code of our CodeSystem *scheduling-issue* (``slot-taken``, ``min-notice`` …) or empty.
    """

    text: str
    expression: str = ""
    code: str = ""
    category: Category | None = None
    severity: str = "error"


@dataclass(eq=False)
class Problem(Exception):  # noqa: N818  the field's word is "problem"
    """A refusal: a category, all its issues together, and what the caller may do next.

    ``headers`` go out as they are. ``alternatives`` are proposed Appointments (FHIR JSON) offered instead.
    """

    category: Category
    issues: tuple[Issue, ...]
    headers: dict[str, str] = field(default_factory=dict)
    alternatives: tuple[dict[str, Any], ...] = ()

    def __str__(self) -> str:
        return f"{self.category.value[0]}: " + "; ".join(issue.text for issue in self.issues)


def problem(category: Category, text: str, expression: str = "", code: str = "", **headers: str) -> Problem:
    """A problem with one issue; keyword arguments are headers with ``_`` for ``-``."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Problem(category, (Issue(text, expression, code),), named)


class NewerDataError(Exception):
    """The database was written by a newer server; one sentence for the operator."""


class SettingsError(ValueError):
    """The settings do not do; one sentence for the operator, without secrets."""


class KeysError(Exception):
    """Data cannot be sealed or opened with the keys at hand; one sentence for the operator, without secrets."""
