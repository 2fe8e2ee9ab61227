"""A command that cannot start says why in one sentence, and what to paste."""

from __future__ import annotations


class Refused(Exception):  # noqa: N818  the word of the command line, not a defect
    """One sentence for stderr, and lines that fix it; the command ends with status 2 and no traceback."""

    def __init__(self, sentence: str, *fixes: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.fixes = fixes
