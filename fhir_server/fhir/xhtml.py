"""Narrative XHTML as text: a string in JSON, an element in XML. https://hl7.org/fhir/R4/narrative.html"""

from __future__ import annotations

import re

from defusedxml import DefusedXmlException  # type: ignore[import-untyped]  # it ships no types
from defusedxml.ElementTree import DefusedXMLParser, ParseError  # type: ignore[import-untyped]  # as above

XHTML = "http://www.w3.org/1999/xhtml"

_XML = "{http://www.w3.org/XML/1998/namespace}"
_VOID = frozenset(("br", "col", "hr", "img"))
_TEXT = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"})
_ATTRIBUTE = _TEXT | str.maketrans({'"': "&quot;", "\n": "&#10;", "\t": "&#9;"})
_UNSAYABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 has no way to write. https://www.w3.org/TR/xml/#charsets"""


def attribute(text: str) -> str:
    """Text of an attribute between double quotes; what XML cannot say becomes U+FFFD."""
    return _UNSAYABLE.sub("\ufffd", text).translate(_ATTRIBUTE)


class Division:
    """Collects the events of one ``div`` and writes it as the text of ``Narrative.div``.

    Comments, white space and the order of attributes stay; character references and CDATA become characters.
    The ``start`` of anything outside the namespace of XHTML raises ``ValueError``.
    """

    def __init__(self) -> None:
        self.depth = 0
        self._parts: list[str] = []

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        name = _local(tag)
        self._parts.append(f"<{name}")
        if not self.depth:
            if name != "div":
                raise ValueError(_NO_DIV)
            self._parts.append(f' xmlns="{XHTML}"')
        for key, value in attributes.items():
            # Only xml:lang and its kin have a prefix.
            said = f"xml:{key.removeprefix(_XML)}" if key.startswith(_XML) else key
            if "}" in said:
                raise ValueError(_NO_DIV)
            self._parts.append(f' {said}="{attribute(value)}"')
        self._parts.append("/>" if name in _VOID else ">")
        self.depth += 1

    def end(self, tag: str) -> None:
        self.depth -= 1
        name = _local(tag)
        if name not in _VOID:
            self._parts.append(f"</{name}>")

    def data(self, text: str) -> None:
        self._parts.append(text.translate(_TEXT))

    def comment(self, text: str) -> None:
        if self.depth:
            self._parts.append(f"<!--{text}-->")

    def pi(self, target: str, data: str = "") -> None:
        del target, data
        raise ValueError(_NO_DIV)

    def close(self) -> str:
        return "".join(self._parts)


def division(text: str) -> str:
    """``Narrative.div`` as an XML element; text that is no XHTML ``div`` is shown as plain text in one."""
    parser = DefusedXMLParser(target=Division(), forbid_dtd=True)
    try:
        parser.feed(text)
        written: str = parser.close()
    except (ParseError, DefusedXmlException, ValueError):
        return f'<div xmlns="{XHTML}">{_UNSAYABLE.sub(chr(0xFFFD), text).translate(_TEXT)}</div>'
    return written


def _local(tag: str) -> str:
    namespace, _, name = tag.rpartition("}")
    if namespace != "{" + XHTML:
        raise ValueError(_NO_DIV)
    return name


_NO_DIV = "the narrative is a div of XHTML"
