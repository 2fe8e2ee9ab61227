"""``fhir-server token`` against a server of this test that holds the demo clinic: real logins, real assertions."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer
from joserfc.jwk import ECKey

from fhir_server.bootstrap import open_world
from fhir_server.cli.clinic import clinic
from fhir_server.cli.clinic_people import clinicians
from fhir_server.cli.load import load
from fhir_server.cli.seed import clinic_date
from fhir_server.cli.token import token
from fhir_server.embedded.refused import Refused
from fhir_server.remote.http import httpx
from fhir_server.services.authorization.demo import KEY_FILE, demo_clients
from fhir_server.services.authorization.demo_accounts import demo_accounts
from fhir_server.settings import Settings
from tests.server import serving


@dataclass
class Demo:
    """A server with the demo clinic; ``settings`` are those of its database."""

    base: str
    port: int
    folder: Path
    settings: Settings


@pytest.fixture(scope="module")
def demo(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    folder = tmp_path_factory.mktemp("demo")
    own = settings.model_copy(update={"mongo_database": f"{settings.mongo_database}_token_{os.getpid()}"})

    async def fill() -> None:
        async with open_world(own) as opened:
            for one in clinic(3, 12, 2, 7, clinic_date()):
                await opened.put(one)
            await demo_clients(opened.world, folder)
            await demo_accounts(opened.world, clinicians())

    asyncio.run(fill())
    with serving(own, FHIR_REQUIRE_SECOND_FACTOR="false") as base:
        yield Demo(base, _port(base), folder, own)


def _port(base: str) -> int:
    return int(base.split(":")[2].partition("/")[0])


@pytest.fixture
def printed(demo: Demo, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """The token that the command prints, alone on its line."""

    def run(**options: Any) -> str:
        capsys.readouterr()
        token(**{"port": demo.port, "data": demo.folder, "host": "127.0.0.1", **options})
        out, err = capsys.readouterr()
        assert err == ""
        assert out.count("\n") == 1
        assert out.count(".") == 2
        return out.strip()

    return run


def get(demo: Demo, path: str, bearer: str) -> Any:
    headers = {"Authorization": f"Bearer {bearer}"}
    return httpx.get(f"{demo.base}/{path}", headers=headers, trust_env=False, timeout=30)


def patients(demo: Demo, bearer: str) -> set[str]:
    answer = get(demo, "Patient?_count=100", bearer)
    assert answer.status_code == 200, answer.text
    return {one["resource"]["id"] for one in answer.json().get("entry", ())}


def test_a_patient_sees_themselves(demo: Demo, printed: Callable[..., str]) -> None:
    bearer = printed(user="patient1")
    assert patients(demo, bearer) == {"patient-1"}
    assert get(demo, "Patient/patient-2", bearer).status_code == 404


def test_a_parent_sees_the_child(demo: Demo, printed: Callable[..., str]) -> None:
    (child,) = patients(demo, printed(user="parent1"))
    assert child not in {"patient-1", "patient-2"}


def test_staff_see_the_clinic_or_the_one_patient_whom_they_choose(demo: Demo, printed: Callable[..., str]) -> None:
    assert len(patients(demo, printed(user="frontdesk1"))) > 5
    assert patients(demo, printed(user="frontdesk1", patient="patient-9")) == {"patient-9"}
    assert patients(
        demo, printed(user="frontdesk1", patient="Patient/patient-9", scope=" launch/patient  patient/*.rs")
    )
    with pytest.raises(Refused, match="say --patient"):
        printed(user="frontdesk1", scope="launch/patient patient/*.rs")
    with pytest.raises(Refused, match="cannot choose this patient"):
        printed(user="frontdesk1", patient="nobody")


def test_a_clinician_an_administrator_and_an_auditor_log_in(demo: Demo, printed: Callable[..., str]) -> None:
    assert get(demo, "Appointment?_count=1", printed(user="dr-adams")).status_code == 200
    assert get(demo, "Schedule?_count=1", printed(user="admin1")).status_code == 200
    auditor = printed(user="auditor1")
    assert get(demo, "AuditEvent?_count=1", auditor).status_code == 200
    assert get(demo, "Patient/patient-1", auditor).status_code in {403, 404}


def test_the_ehr_proves_itself_by_the_key_of_the_folder(demo: Demo, printed: Callable[..., str]) -> None:
    assert len(patients(demo, printed(client="demo-ehr"))) == 12
    assert get(demo, "Schedule", printed(client="demo-ehr", scope="system/Patient.rs")).status_code == 403


def test_the_ehr_loads_without_a_token_of_ours(demo: Demo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FHIR_TOKEN", raising=False)
    source = tmp_path / "one.ndjson"
    source.write_text('{"resourceType":"Organization","id":"loaded","name":"Loaded"}\n')
    with pytest.raises(typer.Exit) as ended:
        load([source], demo.base, demo.folder)
    assert ended.value.exit_code == 0
    with pytest.raises(Refused, match="A token is needed"):
        load([source], demo.base, tmp_path)
    monkeypatch.setenv("FHIR_TOKEN", "of-another-server")
    with pytest.raises(Refused, match="does not take the token"):
        load([source], demo.base, demo.folder)


def test_a_server_with_a_public_name_is_reached_on_this_machine(demo: Demo, printed: Callable[..., str]) -> None:
    """Its cookies are *Secure*, and tokens are for its public base."""
    stated = {"FHIR_BASE_URL": "https://ehr.example/fhir", "FHIR_REQUIRE_SECOND_FACTOR": "true"}
    with serving(demo.settings, **stated) as base:
        there = Demo(base, _port(base), demo.folder, demo.settings)
        assert patients(there, printed(user="patient2", port=there.port)) == {"patient-2"}
        assert len(patients(there, printed(client="demo-ehr", port=there.port))) == 12
        with pytest.raises(Refused, match="one-time code"):
            printed(user="dr-baker", port=there.port)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "of one --client or of one --user"),
        ({"user": "patient1", "client": "demo-ehr"}, "of one --client or of one --user"),
        ({"client": "demo-patient-app"}, "demo-ehr is the one client"),
        ({"client": "demo-ehr", "scope": "nonsense"}, "none of the scopes"),
        ({"client": "demo-ehr", "scope": "system/Patient.rs user/*.rs"}, "does not grant the scope user/"),
        ({"client": "demo-ehr", "data": Path("/nowhere")}, "no key of the demo EHR in /nowhere"),
        ({"user": "nobody"}, "nobody cannot log in: "),
        ({"user": "patient2", "scope": "nonsense"}, "none of the scopes"),
        ({"user": "patient2", "scope": "patient/*.rs system/*.rs"}, "does not grant the scope system/"),
        ({"user": "patient1", "port": 1}, "No server answers at http://127.0.0.1:1"),
        ({"user": "patient1", "host": "192.0.2.1"}, "loopback only"),
    ],
)
def test_a_refusal_is_one_sentence(printed: Callable[..., str], options: dict[str, Any], words: str) -> None:
    with pytest.raises(Refused) as refused:
        printed(**options)
    assert words in refused.value.sentence
    assert refused.value.sentence.endswith(".")
    assert "\n" not in refused.value.sentence


def test_another_key_is_refused(demo: Demo, printed: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / KEY_FILE).write_bytes(ECKey.generate_key("P-384").as_pem(private=True))
    with pytest.raises(Refused, match="gives no token"):
        printed(client="demo-ehr", data=tmp_path)
    (tmp_path / KEY_FILE).write_text("no key")
    with pytest.raises(Refused, match="holds no key"):
        printed(client="demo-ehr", data=tmp_path)
