r"""The punctuation of search: names with modifiers and chains, values with ``,`` ``|`` ``$`` and their escapes.

https://hl7.org/fhir/R4/search.html#escaping
"""

from __future__ import annotations

import re

from fhir_server.errors import Category, Issue, Problem, problem

_ESCAPED = re.compile(r"\\([\\,|$])")
_SEPARATORS = {mark: re.compile(rf"((?:[^\\{mark}]|\\.|\\$)*)(?:{re.escape(mark)}|\Z)", re.DOTALL) for mark in ",|$"}


def split(text: str, mark: str) -> list[str]:
    r"""Cut at every ``mark`` (``,``, ``|`` or ``$``) that no ``\`` precedes; the escapes stay in the parts."""
    if "\\" not in text:
        return text.split(mark)
    parts: list[str] = []
    at = 0
    while True:
        found = _SEPARATORS[mark].match(text, at)
        assert found is not None
        parts.append(found[1])
        at = found.end()
        if found.end(1) == at:
            return parts


def plain(text: str) -> str:
    r"""Text without its escapes: ``a\,b`` is ``a,b``."""
    return _ESCAPED.sub(r"\1", text) if "\\" in text else text


def token(text: str) -> tuple[str | None, str]:
    """``system|code`` as ``(system, code)``; the system is ``None`` when there is no ``|``, empty for ``|code``."""
    system, *rest = split(text, "|")
    if not rest:
        return None, plain(system)
    return plain(system), plain("|".join(rest))


def invalid(name: str, text: str) -> Problem:
    """A malformed value of the parameter ``name``; values are not echoed, they may concern a patient."""
    return problem(Category.INVALID, text, _place(name), "param-invalid")


def unsupported(name: str, text: str) -> Problem:
    """A parameter, modifier or chain that this server does not have."""
    return problem(Category.NOT_SUPPORTED, text, _place(name), "param-invalid")


class SealedError(Problem):
    """A search by what a keyed hash cannot answer."""


def sealed(name: str, text: str) -> SealedError:
    """A search that a sealed parameter has no answer for; ``text`` says what it does have."""
    return SealedError(
        Category.NOT_SUPPORTED, (Issue(f"this parameter is sealed: {text}", _place(name), "param-invalid"),)
    )


def _place(name: str) -> str:
    return name[:200]
