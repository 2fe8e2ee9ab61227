"""The small language of templates: jinja2 in its sandbox, less everything that could loop, call or compute.

A clinic's text may fill in variables, ask for them (``if``), go through ``choices`` once, compare, and use a few
filters. So it always ends, at a length that is known, whatever somebody writes.
https://jinja.palletsprojects.com/en/stable/sandbox/
"""

from __future__ import annotations

from collections.abc import Iterator

from jinja2 import StrictUndefined, TemplateSyntaxError, nodes
from jinja2.sandbox import SandboxedEnvironment

from fhir_server.messages.facts import PIECES, VARIABLES

LONGEST_SOURCE = 20_000
DEEPEST = 25
FILTERS = ("capitalize", "e", "escape", "lower", "title", "trim", "upper")
_MEMBERS = frozenset({"number", "day", "time", "place"})
_LOOP = frozenset({"first", "last", "index", "length"})
_ALLOWED = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Const, nodes.If, nodes.For, nodes.Getattr,
    nodes.Filter, nodes.Not, nodes.And, nodes.Or, nodes.Compare, nodes.Operand, nodes.CondExpr,
)  # fmt: skip


def _environment(*, html: bool) -> SandboxedEnvironment:
    made = SandboxedEnvironment(
        autoescape=html, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, cache_size=2000
    )
    made.filters = {name: made.filters[name] for name in (*FILTERS, "urlize")}
    made.globals.clear()
    made.tests.clear()
    return made


TEXT, HTML = _environment(html=False), _environment(html=True)


def faults(text: str) -> list[str]:
    """What in a source is not of this language: sentences with the line; empty if nothing is."""
    if len(text) > LONGEST_SOURCE:
        return [f"The text is longer than {LONGEST_SOURCE} characters."]
    try:
        found = list(dict.fromkeys(_faults(TEXT.parse(text), frozenset(VARIABLES | PIECES), looping=False, depth=0)))
        if not found:
            TEXT.compile(text)
    except TemplateSyntaxError as failed:
        return [f"Line {failed.lineno}: {failed.message}"]
    except (RecursionError, SyntaxError, MemoryError):
        return ["The text is nested too deeply."]
    return found


def _faults(node: nodes.Node, known: frozenset[str], *, looping: bool, depth: int) -> Iterator[str]:
    line = f"Line {node.lineno}"
    if depth > DEEPEST:
        yield "The text is nested too deeply."
        return
    if not isinstance(node, _ALLOWED):
        yield f"{line}: {type(node).__name__} cannot be used here."
        return
    if isinstance(node, nodes.Filter) and (node.name not in FILTERS or node.args or node.kwargs):
        yield f"{line}: the filter {node.name} cannot be used here."
    if isinstance(node, nodes.Name) and node.ctx == "load" and node.name not in known:
        yield f"{line}: there is no {node.name}; there are {', '.join(sorted(VARIABLES | PIECES))}."
    if isinstance(node, nodes.Getattr):
        whose = node.node.name if isinstance(node.node, nodes.Name) else ""
        if not looping or node.attr not in (_LOOP if whose == "loop" else _MEMBERS) or whose in VARIABLES | PIECES:
            yield f"{line}: there is no .{node.attr} here."
    if isinstance(node, nodes.For):
        iterated = isinstance(node.iter, nodes.Name) and node.iter.name == "choices"
        if looping or not iterated or node.recursive or node.test or not isinstance(node.target, nodes.Name):
            yield f"{line}: a loop goes through choices, once: for choice in choices."
            return
        known, looping = known | {node.target.name, "loop"}, True
    for child in node.iter_child_nodes():
        yield from _faults(child, known, looping=looping, depth=depth + 1)
