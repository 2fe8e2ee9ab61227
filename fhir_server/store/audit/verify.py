"""Verification: one changed, removed, reordered or inserted batch, and a removed or remade chain, is found.

what was done to the database                        what shows it
---------------------------------------------------  ----------------------------------------------------------
a value or byte of a batch changed                   its hash; made anew, the MAC and the ``prev`` of the next
a batch removed, two swapped, one inserted           places and ``prev`` within the chain
the end of a chain removed or remade                 a checkpoint, or a later chain that names this one
a whole chain removed                                its checkpoints, or a later chain that names it
a checkpoint forged or changed                       its signature
a checkpoint removed                                 ``before`` of the next one
the beginning of a chain removed                     no signed checkpoint says ``pruned``

Not found: the end of the newest chains behind their last checkpoint, together with whatever names them; keep
checkpoints elsewhere (``against``) to shrink that. Nor what the holder of the keys makes anew.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fhir_server.store.audit import checkpoints
from fhir_server.store.audit.batches import START, Head, digest, mac, place
from fhir_server.store.audit.checkpoints import FINAL, PRUNED, Checkpoint, is_signed
from fhir_server.store.audit.database import Audit
from fhir_server.store.driver import Document


@dataclass(frozen=True, slots=True)
class Fault:
    """``place`` is ``chain|0000000001`` or a chain."""

    place: str
    text: str


@dataclass(slots=True)
class Report:
    """What a verification saw; ``heads`` are the last batches of all chains."""

    batches: int = 0
    entries: int = 0
    checkpoints: int = 0
    faults: list[Fault] = field(default_factory=list)
    heads: list[Head] = field(default_factory=list)


class _Claims:
    """What is said about one chain: the hashes that places must have, and up to where it was pruned."""

    def __init__(self) -> None:
        self.hashes: dict[int, tuple[bytes, str]] = {}
        self.pruned: Head | None = None
        self.final: int | None = None

    def claim(self, head: Head, who: str) -> None:
        self.hashes.setdefault(head.n, (head.hash, who))


async def verify(
    audit: Audit,
    *,
    public: str,
    secret: bytes,
    since: int = 0,
    against: Iterable[Mapping[str, Any]] = (),
    progress: Callable[[int], None] = lambda _: None,
) -> Report:
    """Check every chain.

    :param public: the public key of the checkpoints, from where it was kept.
    :param secret: of the batches' MAC.
    :param since: look only at batches recorded at this time (ms) or later.
    :param against: documents of checkpoints that were kept elsewhere.
    """
    report = Report()
    named: dict[str, list[tuple[Head, str]]] = {}
    for opening in await audit.openings():
        for chain, n, hash_ in opening.get("opens", ()):
            named.setdefault(chain, []).append((Head(chain, n, bytes.fromhex(hash_)), f"chain {opening['chain']}"))
    for kept in against:
        checkpoint = _read(kept, public, report)
        if checkpoint is not None:
            named.setdefault(checkpoint.head.chain, []).append((checkpoint.head, "a checkpoint kept elsewhere"))
    for chain in sorted({*await audit.chains(), *named}):
        claims = _Claims()
        for head, who in named.get(chain, ()):
            claims.claim(head, who)
        _signed(await audit.checkpoints_of(chain), claims, public, report)
        await _chain(audit, chain, claims, secret, since, report, progress)
    return report


def _read(document: Mapping[str, Any], public: str, report: Report) -> Checkpoint | None:
    where = str(document.get("_id", "a checkpoint"))
    try:
        found = checkpoints.read(document)
    except ValueError:
        report.faults.append(Fault(where, "this is no checkpoint"))
        return None
    if not is_signed(found, public):
        report.faults.append(Fault(where, "the checkpoint is forged: its signature is not of this server's key"))
        return None
    return found


def _signed(documents: Iterable[Document], claims: _Claims, public: str, report: Report) -> None:
    """Collect what signed checkpoints claim of a chain, in the order of their places."""
    places = {0}
    found = []
    for document in documents:
        report.checkpoints += 1
        checkpoint = _read(document, public, report)
        if checkpoint is None:
            continue
        found.append(checkpoint)
        places.add(checkpoint.head.n)
        if checkpoint.kind == PRUNED:
            if claims.pruned is None or checkpoint.head.n > claims.pruned.n:
                claims.pruned = checkpoint.head
        else:
            claims.claim(checkpoint.head, "a checkpoint")
        if checkpoint.kind == FINAL:
            claims.final = checkpoint.head.n
    gone = claims.pruned.n if claims.pruned else 0
    for one in found:
        if one.kind != PRUNED and one.before not in places and one.before > gone:
            where = place(one.head.chain, one.before)
            report.faults.append(Fault(where, "the checkpoint of this place was removed"))


async def _chain(
    audit: Audit,
    chain: str,
    claims: _Claims,
    secret: bytes,
    since: int,
    report: Report,
    progress: Callable[[int], None],
) -> None:
    pruned = claims.pruned
    last = pruned or Head(chain)
    # Where the look begins in the middle, the first batch that is seen is believed to be the right one.
    believed = bool(since)
    seen = 0
    at = 0
    async for document in audit.documents(chain, since):
        seen += 1
        report.batches += 1
        progress(1)
        where = document["_id"]
        n = int(where.partition("|")[2])
        # A pruning that was interrupted leaves batches behind.
        left = pruned is not None and n <= pruned.n
        expected = None if left or (believed and seen == 1) else last
        faults = _faults(document, chain, expected, at, secret)
        report.faults += [Fault(where, text) for text in faults]
        claimed = claims.hashes.get(n)
        if claimed and claimed[0] != document.get("hash"):
            report.faults.append(Fault(where, f"the batch is not the one that {claimed[1]} names"))
        report.entries += document.get("count", 0)
        at = max(at, document.get("at", 0))
        if not left:
            last = Head(chain, n, document.get("hash", START))
    if since and not seen:
        stored = await audit.last(chain)
        if stored is not None:
            last = stored
    _ending(chain, last, claims, report)
    if last.n:
        report.heads.append(last)


def _ending(chain: str, last: Head, claims: _Claims, report: Report) -> None:
    """What is said about places behind the last batch."""
    missing = [n for n in claims.hashes if n > last.n]
    if missing:
        furthest = max(missing)
        who = claims.hashes[furthest][1]
        text = f"batches up to {furthest} were removed: {who} names them"
        report.faults.append(Fault(place(chain, last.n + 1) if last.n else chain, text))
    if claims.final is not None and last.n > claims.final:
        report.faults.append(Fault(place(chain, claims.final + 1), "batches follow the end of the chain"))


def _faults(document: Document, chain: str, last: Head | None, at: int, secret: bytes) -> list[str]:
    """What is wrong with one batch behind ``last``, None where that is not known."""
    try:
        right = digest(document)
    except (KeyError, TypeError, ValueError):
        return ["the batch has not the form of one"]
    found = []
    if right != document.get("hash"):
        found.append("the batch was changed: its hash is another one")
    elif not hmac.compare_digest(mac(right, secret), document.get("mac", b"")):
        found.append("the batch was not made by this server")
    if document["_id"] != place(str(document.get("chain")), int(document.get("n") or 0)) or document["chain"] != chain:
        found.append("the batch stands in a place that is not its own")
    if last is not None:
        n = int(document["_id"].partition("|")[2])
        if n != last.n + 1:
            gap = place(chain, last.n + 1)
            text = "the batch before was removed" if n == last.n + 2 else f"the batches from {gap} on were removed"
            found.append(text)
        elif document["prev"] != last.hash:
            found.append("the batch does not follow the one before: one of the two was changed, removed or inserted")
    if document.get("at", 0) < at:
        found.append("the batch is older than the one before")
    return found
