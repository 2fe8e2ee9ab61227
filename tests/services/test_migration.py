"""Data of an older layout is brought to the present one when the server starts."""

from __future__ import annotations

import uuid
from typing import Any

from fhir_server.bootstrap import prepare
from fhir_server.services.rebuild import rebuild_index
from fhir_server.services.world import World
from fhir_server.store.layout import COLLECTION, LAYOUT


async def test_search_values_of_an_older_layout_are_made_anew(client: Any, world: World) -> None:
    id_ = str(uuid.uuid4())
    body = {"resourceType": "Patient", "id": id_, "name": [{"family": "Alt"}]}
    assert (await client.put(f"Patient/{id_}", json=body)).status_code == 201
    connection = world.store.connection
    await connection.collection("Patient").update_one({"_id": id_}, {"$unset": {"idx.family": "", "idx.name": ""}})
    query = {"_id": id_, "family": "alt"}
    assert (await client.get("Patient", params=query)).json()["total"] == 0
    await connection.collection(COLLECTION).update_one({"_id": "layout"}, {"$set": {"number": 2}})
    await prepare(world)
    assert (await client.get("Patient", params=query)).json()["total"] == 1
    assert (await connection.collection(COLLECTION).find_one({"_id": "layout"}))["number"] == LAYOUT
    await connection.collection("Patient").update_one({"_id": id_}, {"$unset": {"idx.family": ""}})
    await prepare(world)
    assert (await client.get("Patient", params=query)).json()["total"] == 0, "done once"
    await rebuild_index(world, verify=False)
