"""``/checkin/[link]``: a patient checks in at a kiosk or on their own phone, with their birth date and no login.

outcome  page                                         status
-------  -------------------------------------------  ------
done     you are checked in                           200
wrong    the form again                               422
over     the link does not work any more              410
closed   check-in is not open now                     422
desk     the desk checks you in                       422
"""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import Response

from fhir_server.services import kiosk
from fhir_server.smart.pages.error import error_page
from fhir_server.smart.pages.rendering import LANGUAGE
from fhir_server.smart.pages.texts import TEXTS
from fhir_server.smart.pages.visit import Door, Visit, visited

LONGEST = 40
"""Characters of a birth date that are looked at."""


def router(door: Door) -> APIRouter:
    """The page of check-in links."""
    made = APIRouter(include_in_schema=False)
    made.add_route("/checkin/{link}", visited(door, show_checkin), ["GET"])
    made.add_route("/checkin/{link}", visited(door, check_in), ["POST"])
    return made


async def show_checkin(visit: Visit) -> Response:
    """The question for the birth date; nothing of the visit."""
    if not await kiosk.is_open(visit.world, _link(visit)):
        return _end(visit, "over", 410)
    return await visit.page("checkin.html", link=_link(visit), fault="")


async def check_in(visit: Visit) -> Response:
    """Check in, or ask again."""
    said = visit.form.get("birth_date", "")[:LONGEST]
    if not said.strip():
        t = TEXTS[LANGUAGE]
        return await visit.page("checkin.html", 422, link=_link(visit), fault=t["checkin_empty"])
    outcome = await kiosk.use(visit.world, _link(visit), said, visit.address)
    if outcome == "wrong":
        t = TEXTS[LANGUAGE]
        return await visit.page("checkin.html", 422, link=_link(visit), fault=t["checkin_wrong"])
    return _end(visit, outcome, {"done": 200, "over": 410}.get(outcome, 422))


def _end(visit: Visit, outcome: str, status: int) -> Response:
    t = TEXTS[LANGUAGE]
    return error_page(t[f"checkin_{outcome}_title"], t[f"checkin_{outcome}"], status, secure=visit.secure)


def _link(visit: Visit) -> str:
    return str(visit.request.path_params["link"])
