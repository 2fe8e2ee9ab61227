"""What the steps of a path do, https://hl7.org/fhir/R4/fhirpath.html: functions from a collection to a collection.

A collection holds elements of the resource (``Node``) and plain JSON values. A step raises ``ValueError`` where it does
not fit the resource.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fhir_server.errors import Category, problem
from fhir_server.fhir.tree import Node, children

MOST_STEPS = 300_000
"""Elements that one patch may look at in all."""

_RESOURCES = frozenset(("Resource", "DomainResource"))


class Budget:
    """What evaluation may cost; a patch has one for all its paths."""

    def __init__(self, steps: int = MOST_STEPS) -> None:
        self._left = steps

    def spend(self, steps: int) -> None:
        """:raises Problem: 413 when it is used up."""
        self._left -= steps
        if self._left < 0:
            raise problem(Category.TOO_LARGE, "the paths look at too many elements")


Items = list[Any]
Step = Callable[[Items, Budget], Items]

TESTS: dict[str, Callable[[str, str], bool]] = {
    "startsWith": str.startswith,
    "endsWith": str.endswith,
    "contains": str.__contains__,
}


def run(steps: tuple[Step, ...], items: Items, budget: Budget) -> Items:
    """The steps one after the other."""
    for step in steps:
        items = step(items, budget)
        budget.spend(len(items) + 1)
    return items


def chained(*steps: Step) -> Step:
    return lambda items, budget: run(steps, items, budget)


def this(items: Items, _: Budget) -> Items:
    return items


def constant(value: Any) -> Step:
    return lambda _, __: [value]


def nodes(items: Items) -> list[Node]:
    return [one for one in items if isinstance(one, Node)]


def _plain(items: Items) -> Items:
    values = (one.value if isinstance(one, Node) else one for one in items)
    return [one for one in values if one is not None]


def named(name: str) -> Step:
    return lambda items, _: [child for node in nodes(items) for child in children(node, name)]


def started(name: str) -> Step:
    """The first name of a path: the type of the resource that it starts from, or an element."""
    step = named(name)

    def start(items: Items, budget: Budget) -> Items:
        found = nodes(items)
        if found and all("resourceType" in one.content and name in {one.type, *_RESOURCES} for one in found):
            return items
        return step(items, budget)

    return start


def indexed(index: int) -> Step:
    return lambda items, _: items[index : index + 1]


def first(items: Items, _: Budget) -> Items:
    return items[:1]


def last(items: Items, _: Budget) -> Items:
    return items[-1:]


def single(items: Items, _: Budget) -> Items:
    if len(items) > 1:
        msg = "single() meets several elements"
        raise ValueError(msg)
    return items


def of_type(name: str) -> Step:
    return lambda items, _: [node for node in nodes(items) if node.type == name]


def extension(url: str) -> Step:
    step = named("extension")
    return lambda items, budget: [node for node in nodes(step(items, budget)) if node.value.get("url") == url]


def where(criteria: Step) -> Step:
    def kept(items: Items, budget: Budget) -> Items:
        budget.spend(len(items))
        return [one for one in items if _truth(criteria([one], budget))]

    return kept


def either(*terms: Step) -> Step:
    def step(items: Items, budget: Budget) -> Items:
        found = [_truth(term(items, budget)) for term in terms]
        return [True] if True in found else [] if None in found else [False]

    return step


def both(*terms: Step) -> Step:
    def step(items: Items, budget: Budget) -> Items:
        found = [_truth(term(items, budget)) for term in terms]
        return [False] if False in found else [] if None in found else [True]

    return step


def equal(left: Step, right: Step, *, same: bool) -> Step:
    def step(items: Items, budget: Budget) -> Items:
        one, other = _plain(left(items, budget)), _plain(right(items, budget))
        budget.spend(len(one) + len(other) + 1)
        return [_alike(one, other) is same] if one and other else []

    return step


def exists(of: Step, *, wanted: bool) -> Step:
    return lambda items, budget: [bool(of(items, budget)) is wanted]


def negated(of: Step) -> Step:
    return lambda items, budget: [not one for one in _plain(of(items, budget)) if isinstance(one, bool)]


def tested(of: Step, name: str, text: str) -> Step:
    """One of ``TESTS`` on texts."""
    test = TESTS[name]
    return lambda items, budget: [test(one, text) for one in _plain(of(items, budget)) if isinstance(one, str)]


def _truth(items: Items) -> bool | None:
    """A collection as true, false or nothing; one value that is no boolean is there, and so true."""
    if not items:
        return None
    if len(items) > 1:
        msg = "a condition has several values"
        raise ValueError(msg)
    value = items[0].value if isinstance(items[0], Node) else items[0]
    return value if isinstance(value, bool) else True


def _alike(one: Items, other: Items) -> bool:
    """Equality of JSON: true is not 1."""
    return one == other and [isinstance(item, bool) for item in one] == [isinstance(item, bool) for item in other]
