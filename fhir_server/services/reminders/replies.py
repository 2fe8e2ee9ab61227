"""What is answered to answers, where ``messages`` has no text of its own: short sentences, in three languages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from fhir_server.messages.templates import language_of

Reply = Literal[
    "other-time", "too-late", "nothing", "offer-over", "failed", "declined", "help", "texted", "call-us", "moved-on",
    "no-key",
]  # fmt: skip

_TEXTS: Mapping[str, Mapping[Reply, str]] = {
    "en": {
        "other-time": "{clinic}: choose another time here: {link}",
        "too-late": "{clinic}: it is too late to do this by message. Please call {phone}.",
        "nothing": "{clinic}: we know of no appointment that this could be about. Please call {phone}.",
        "failed": "{clinic}: that did not work. Please call {phone}.",
        "declined": "{clinic}: thank you. We offer the time to somebody else; you stay on the waiting list.",
        "texted": "This is {clinic}. We have sent you a text message with a link to other times. Goodbye.",
        "call-us": "This is {clinic}. For another time, please call {phone}. Goodbye.",
        "offer-over": "{clinic}: that offer is over, the time is no longer held for you. Questions? Call {phone}.",
        "help": "{clinic}: reply C to confirm, R to change, CANCEL to cancel, STOP to get no more "
        "texts. Or call {phone}.",
        "moved-on": "This is {clinic}. The appointment has changed since. Please call {phone}. Goodbye.",
        "no-key": "This is {clinic}. We did not understand. Please call {phone}. Goodbye.",
    },
    "es": {
        "other-time": "{clinic}: elija otra hora aquí: {link}",
        "too-late": "{clinic}: ya es tarde para hacerlo por mensaje. Por favor, llame al {phone}.",
        "nothing": "{clinic}: no encontramos ninguna cita a la que pueda referirse. Por favor, llame al {phone}.",
        "failed": "{clinic}: no ha sido posible. Por favor, llame al {phone}.",
        "declined": "{clinic}: gracias. Ofrecemos la hora a otra persona; usted sigue en la lista de espera.",
        "texted": "Le llama {clinic}. Le hemos enviado un SMS con un enlace a otras horas. Adiós.",
        "call-us": "Le llama {clinic}. Para otra hora, por favor, llame al {phone}. Adiós.",
        "offer-over": "{clinic}: esa oferta ha terminado, la hora ya no está reservada para usted. "
        "¿Preguntas? Llame al {phone}.",
        "help": "{clinic}: responda C para confirmar, R para cambiar, CANCEL para cancelar, STOP para "
        "no recibir más SMS. O llame al {phone}.",
        "moved-on": "Le llama {clinic}. La cita ha cambiado desde entonces. Por favor, llame al {phone}. Adiós.",
        "no-key": "Le llama {clinic}. No le hemos entendido. Por favor, llame al {phone}. Adiós.",
    },
    "de": {
        "other-time": "{clinic}: Wählen Sie hier eine andere Zeit: {link}",
        "too-late": "{clinic}: Dafür ist es per Nachricht zu spät. Bitte rufen Sie an: {phone}.",
        "nothing": "{clinic}: Wir finden keinen Termin, um den es gehen könnte. Bitte rufen Sie an: {phone}.",
        "failed": "{clinic}: Das hat nicht geklappt. Bitte rufen Sie an: {phone}.",
        "declined": "{clinic}: Danke. Wir bieten die Zeit jemand anderem an; Sie bleiben auf der Warteliste.",
        "texted": "Hier ist {clinic}. Wir haben Ihnen eine SMS mit einem Link geschickt. Auf Wiederhören.",
        "call-us": "Hier ist {clinic}. Für eine andere Zeit rufen Sie uns bitte an: {phone}. Auf Wiederhören.",
        "offer-over": "{clinic}: Dieses Angebot ist vorbei, die Zeit ist nicht mehr für Sie "
        "reserviert. Fragen? Rufen Sie an: {phone}.",
        "help": "{clinic}: Antworten Sie C zum Bestätigen, R zum Verschieben, CANCEL zum Absagen, STOP "
        "für keine SMS mehr. Oder rufen Sie an: {phone}.",
        "moved-on": "Hier ist {clinic}. Der Termin hat sich inzwischen geändert. Bitte rufen Sie an: "
        "{phone}. Auf Wiederhören.",
        "no-key": "Hier ist {clinic}. Das haben wir nicht verstanden. Bitte rufen Sie an: {phone}. Auf Wiederhören.",
    },
}
_US: Mapping[str, tuple[str, str]] = {
    "en": ("The clinic", "the clinic"), "es": ("La clínica", "la clínica"), "de": ("Die Praxis", "in der Praxis"),
}  # fmt: skip
"""Who speaks, and whom to call, where the clinic says neither name nor number."""


def reply(which: Reply, language: str, *, clinic: str, phone: str, link: str = "") -> str:
    """A sentence in the language of a person (BCP 47)."""
    spoken = language_of(language)
    name, number = _US[spoken]
    return _TEXTS[spoken][which].format(clinic=clinic or name, phone=phone or number, link=link)
