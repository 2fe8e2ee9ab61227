"""The HTTP client of the whole project: httpx2 where it is installed, else httpx, under the one name ``httpx``.

httpx has had no release since 2024; httpx2 is its maintained fork with the same interface.
"""

from __future__ import annotations

try:
    import httpx2 as httpx
except ImportError:
    import httpx  # type: ignore[no-redef]

__all__ = ["httpx"]
