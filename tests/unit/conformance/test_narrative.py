"""Narratives: formatting passes, what acts does not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.conformance.narrative import narrative_fault

OPEN = '<div xmlns="http://www.w3.org/1999/xhtml">'


@pytest.mark.parametrize(
    "inner",
    [
        "text",
        "<p style='color: red'>a <b>b</b></p><table><tr><td colspan='2'>x</td></tr></table>",
        "<a href='https://example.org/x'>x</a><a href='#top'>y</a><a href='Patient/1'>z</a>",
        "<img src='data:image/png;base64,AAAA' alt='x'/>",
        "&#160;&lt;&amp; é",
    ],
)
def test_formatting_passes(inner):
    assert narrative_fault(f"{OPEN}{inner}</div>") == ""
    assert narrative_fault('<h:div xmlns:h="http://www.w3.org/1999/xhtml" xml:lang="en">x</h:div>') == ""


@pytest.mark.parametrize(
    ("div", "key"),
    [
        (f"{OPEN}x", "txt-1"),
        ("<div>x</div>", "txt-1"),
        ("x", "txt-1"),
        (f"{OPEN}<script>alert(1)</script></div>", "txt-1"),
        (f"{OPEN}<p onclick='x()'>x</p></div>", "txt-1"),
        (f"{OPEN}<a href='javascript:x()'>x</a></div>", "txt-1"),
        (f"{OPEN}<a href=' java&#10;script:x()'>x</a></div>", "txt-1"),
        (f"{OPEN}<img src='data:text/html,x'/></div>", "txt-1"),
        (f"{OPEN}<iframe src='https://example.org'/></div>", "txt-1"),
        (f"{OPEN}<form>x</form></div>", "txt-1"),
        (f"{OPEN}<svg xmlns='http://www.w3.org/2000/svg'/></div>", "txt-1"),
        (f"{OPEN}&nbsp;</div>", "txt-1"),
        (f"{OPEN}<?php x ?></div>", "txt-1"),
        (f'<!DOCTYPE div [<!ENTITY a "b">]>{OPEN}&a;</div>', "txt-1"),
        ('<p xmlns="http://www.w3.org/1999/xhtml">x</p>', "txt-1"),
        (f"{OPEN}  <br/> </div>", "txt-2"),
    ],
)
def test_what_acts_or_says_nothing_is_refused(div, key):
    assert narrative_fault(div).startswith(key)


@given(st.text())
def test_any_text_has_an_answer(text):
    assert narrative_fault(text)
