"""Find the entries of a Bundle in its bytes without building it, https://hl7.org/fhir/R4/bundle.html.

Each resource is later sent letter by letter, and a Bundle larger than the memory can be read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from mmap import mmap

import orjson

# A string with the colon that makes it a property name, or a bracket. Nothing else shapes the tree.
_TOKEN = re.compile(rb'("[^"\\]*+(?:\\.[^"\\]*+)*+")(\s*+:)?|[{}\[\]]', re.DOTALL)
_SPACE = re.compile(rb"\s*+")


class Broken(ValueError):  # noqa: N818  what is wrong with the text
    """The text is not one JSON object."""


@dataclass(slots=True)
class Entry:
    """One ``Bundle.entry``: where its resource lies; ``length`` is 0 if it has none."""

    offset: int = 0
    length: int = 0
    full_url: str = ""


def entries(buffer: bytes | mmap, start: int, end: int) -> list[Entry] | None:
    """The entries of the Bundle in ``buffer[start:end]``; None if the object there is no Bundle.

    Raises ``Broken`` if there is anything but one JSON object. What lies inside the resources is not checked.
    """
    first = _skip(buffer, start, end)
    if first == end or buffer[first : first + 1] != b"{":
        msg = "not JSON: an object is needed"
        raise Broken(msg)
    found: list[Entry] = []
    depth, in_entries = 0, False
    keys = [b"", b"", b"", b""]  # property name last seen at depth 0 … 3
    root_type = b""
    for token in _TOKEN.finditer(buffer, start, end):
        text = token[1]
        if text is not None:
            if depth in {1, 3}:
                if token[2]:
                    keys[depth] = text
                elif depth == 1 and keys[1] == b'"resourceType"':
                    root_type = text
                elif in_entries and keys[3] == b'"fullUrl"':
                    found[-1].full_url = _string(text)
            continue
        bracket = token[0]
        if bracket in {b"{", b"["}:
            if depth == 1:
                in_entries = bracket == b"[" and keys[1] == b'"entry"'
            elif depth == 2 and in_entries and bracket == b"{":
                found.append(Entry())
                keys[3] = b""
            elif depth == 3 and in_entries and bracket == b"{" and keys[3] == b'"resource"':
                found[-1].offset = token.start()
            depth += 1
            continue
        depth -= 1
        if depth == 3 and in_entries and found[-1].offset and not found[-1].length:
            found[-1].length = token.end() - found[-1].offset
        if depth == 0:
            if _skip(buffer, token.end(), end) != end:
                msg = "not JSON: text follows the object; one resource a line needs a name that ends in .ndjson"
                raise Broken(msg)
            return found if root_type == b'"Bundle"' else None
    msg = "not JSON: the file ends inside an object"
    raise Broken(msg)


def _skip(buffer: bytes | mmap, start: int, end: int) -> int:
    space = _SPACE.match(buffer, start, end)
    return space.end() if space else start


def _string(text: bytes) -> str:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return ""
    return str(value)
