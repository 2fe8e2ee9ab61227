"""Narrative XHTML, https://hl7.org/fhir/R4/narrative.html: plain formatting, nothing that acts (txt-1, txt-2)."""

from __future__ import annotations

from typing import NoReturn
from xml.parsers import expat

_XHTML = "http://www.w3.org/1999/xhtml"
_ELEMENT_NAMES = (
    "a abbr acronym b big blockquote br caption cite code col colgroup dd dfn div dl dt em h1 h2 h3 h4 h5 h6 hr i img "
    "li ol p pre q samp small span strong sub sup table tbody td tfoot th thead tr tt ul var kbd address"
)
_ATTRIBUTE_NAMES = (
    "abbr accesskey align alt axis bgcolor border cellhalign cellpadding cellspacing cellvalign char charoff charset "
    "cite class colspan compact coords dir frame headers height href hreflang hspace id lang longdesc name nowrap rel "
    "rev rowspan rules scope shape span src start style summary tabindex title type valign value vspace width"
)
_ELEMENTS = frozenset(_ELEMENT_NAMES.split())
_ATTRIBUTES = frozenset(_ATTRIBUTE_NAMES.split())
_LINKS = frozenset(("href", "src", "cite", "longdesc"))
_SAFE = ("http:", "https:", "mailto:", "tel:", "data:image/")


def narrative_fault(div: str) -> str:
    """What is wrong with ``Narrative.div`` in words, empty if nothing is."""
    reader = _Reader()
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartDoctypeDeclHandler = reader.refuse
    parser.ProcessingInstructionHandler = reader.refuse
    parser.StartElementHandler = reader.element
    parser.CharacterDataHandler = reader.text
    try:
        parser.Parse(div, True)
    except expat.ExpatError:
        return "txt-1: the narrative is not well-formed XHTML"
    except _Refusal as refusal:
        return f"txt-1: {refusal}"
    return "" if reader.said else "txt-2: the narrative says nothing"


class _Refusal(Exception):  # noqa: N818  a word of its own
    pass


class _Reader:
    """Looks at what the parser finds; remembers whether there is any content."""

    def __init__(self) -> None:
        self.said = False
        self._inside = False

    def refuse(self, *_: object) -> NoReturn:
        msg = "the narrative holds more than elements and text"
        raise _Refusal(msg)

    def element(self, name: str, attributes: dict[str, str]) -> None:
        namespace, _, local = name.rpartition(" ")
        if namespace != _XHTML or local not in _ELEMENTS or not (self._inside or local == "div"):
            msg = "the narrative is a div of plain XHTML formatting"
            raise _Refusal(msg)
        self._inside = True
        self.said = self.said or local == "img"
        for key, value in attributes.items():
            if key.removeprefix("http://www.w3.org/XML/1998/namespace ") not in _ATTRIBUTES:
                msg = "the narrative holds an attribute beyond formatting"
                raise _Refusal(msg)
            if key in _LINKS and not _is_safe(value):
                msg = "the narrative links to something that acts"
                raise _Refusal(msg)

    def text(self, data: str) -> None:
        self.said = self.said or not data.isspace()


def _is_safe(link: str) -> bool:
    """Fragments, relative links and harmless schemes."""
    head = "".join(link.split()).lower()
    scheme = head.split("/")[0].split("#")[0].split("?")[0]
    return ":" not in scheme or head.startswith(_SAFE)
