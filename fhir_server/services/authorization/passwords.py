"""Passwords: which are accepted, and Argon2id in threads of its own. https://www.rfc-editor.org/rfc/rfc9106.

Length is what a password is asked for (https://pages.nist.gov/800-63-4/sp800-63b.html): twelve characters at least, and
not the username.
"""

from __future__ import annotations

import asyncio
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from fhir_server.errors import Category, problem
from fhir_server.store.accounts import folded

LEAST, MOST = 12, 256
"""Characters of a password."""

HASHER = PasswordHasher()
_THREADS = ThreadPoolExecutor(2, thread_name_prefix="argon2")
"""A hash takes 64 MiB: this many at a time."""

_T = TypeVar("_T")


def check(password: str, username: str) -> None:
    """:raises Problem: 422 for a password that is too short, too long or the username."""
    if not LEAST <= len(password) <= MOST:
        raise problem(Category.RULE, f"a password has {LEAST} to {MOST} characters", "password")
    if folded(password) == folded(username):
        raise problem(Category.RULE, "a password is not the username", "password")


async def hashed(password: str) -> str:
    """The Argon2id hash of a password."""
    return await _in_thread(lambda: HASHER.hash(_one_form(password)))


async def verified(kept: str, password: str) -> bool:
    """Whether it is the password of a hash; without a hash (nobody has that name) the work is the same."""
    if len(password) > MOST:
        password, kept = "", ""
    return await _in_thread(lambda: _verify(kept or _nobody(), _one_form(password)) and bool(kept))


def is_outdated(kept: str) -> bool:
    """Whether a hash was made with other parameters than today's."""
    return HASHER.check_needs_rehash(kept)


def _verify(kept: str, password: str) -> bool:
    try:
        return HASHER.verify(kept, password)
    except (VerificationError, InvalidHashError):
        return False


@cache
def _nobody() -> str:
    return HASHER.hash("the password of nobody")


def _one_form(password: str) -> str:
    """One of the ways in which Unicode writes the same characters, whatever keyboard they come from."""
    return unicodedata.normalize("NFKC", password)


async def _in_thread(work: Callable[[], _T]) -> _T:
    return await asyncio.get_running_loop().run_in_executor(_THREADS, work)
