"""Retention: batches whose time is over are removed, and a signed checkpoint in their place says so."""

from __future__ import annotations

from dataclasses import dataclass

from fhir_server.store.audit.batches import Head
from fhir_server.store.audit.checkpoints import PRUNED
from fhir_server.store.audit.database import Audit


@dataclass(frozen=True, slots=True)
class Pruned:
    """How many batches of how many chains were removed."""

    batches: int
    chains: int


async def prune(audit: Audit, before: int, now: int) -> Pruned:
    """Remove the batches recorded before a time, in ms; each chain keeps what is younger, and its end is signed.

    The statement is durable before anything is removed, so that a pruning which was interrupted is no fault.
    """
    signer = await audit.signer()
    batches = chains = 0
    for chain in await audit.chains():
        last = await audit.last_before(chain, before)
        if last is None:
            continue
        head = Head(chain, last.n, last.hash)
        batches += await audit.remove(signer.sign(head, now, PRUNED, 0))
        chains += 1
    return Pruned(batches, chains)
