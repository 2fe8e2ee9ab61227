"""Read a page as a browser does: its forms with what they would send, and what it says went wrong."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

Fields = list[tuple[str, str]]


@dataclass(slots=True)
class Form:
    """A form: where it goes, what it sends when nothing is changed, and its named buttons."""

    action: str
    fields: Fields = field(default_factory=list)
    buttons: Fields = field(default_factory=list)

    def filled(self, **said: str) -> Fields:
        """The fields with these values in place of their own."""
        return [*((name, value) for name, value in self.fields if name not in said), *said.items()]


class Page(HTMLParser):
    """A page that was read."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self._said: dict[str, list[str]] = {"h1": [], "p": [], "alert": []}
        self._open = ""
        self._alert = False
        self.feed(text)
        self.close()

    def form(self, action: str, button: str = "") -> Form | None:
        """The form that leads to ``action`` and has that button."""
        for one in self.forms:
            if one.action == action and (not button or any(name == button for name, _ in one.buttons)):
                return one
        return None

    @property
    def fault(self) -> str:
        """The sentence in which the page says what is wrong."""
        said = self._said["alert"] or self._said["p"] or self._said["h1"]
        return " ".join(said[-1].split()) if said else "The server shows a page without words."

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append(Form(given.get("action", "")))
        elif tag in {"input", "button"} and "name" in given and self.forms:
            self._control(tag, given)
        elif tag == "div":
            self._alert = given.get("role") == "alert"
        elif tag in {"h1", "p"}:
            self._open = "alert" if self._alert else tag
            self._said[self._open].append("")

    def handle_endtag(self, tag: str) -> None:
        if tag == "div":
            self._alert = False
        elif tag in {"h1", "p"}:
            self._open = ""

    def handle_data(self, data: str) -> None:
        if self._open:
            self._said[self._open][-1] += data

    def _control(self, tag: str, given: dict[str, str]) -> None:
        pair = (given["name"], given.get("value", ""))
        if tag == "button":
            self.forms[-1].buttons.append(pair)
        elif given.get("type") not in {"checkbox", "radio"} or "checked" in given:
            self.forms[-1].fields.append(pair)
