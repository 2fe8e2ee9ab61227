"""Reading and ordering of input files, and the write that each resource becomes; no network."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import threading
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.cli.bundle_entries import Broken, entries
from fhir_server.cli.delivery import Answer, Item, deliver, lane_of
from fhir_server.cli.input_files import Found, InputFiles, files_in
from fhir_server.cli.upload import request_for


def read(*paths: Path) -> tuple[list[Found], list[tuple[str, str]]]:
    with InputFiles() as inputs:
        for path in files_in(paths):
            inputs.add(path)
        found = list(inputs.found())
        assert len(inputs) == len(found)
        return found, [(one.place, one.reason) for one in inputs.unreadable]


def write(path: Path, *lines: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\n".join(line.encode() if isinstance(line, str) else line for line in lines))
    return path


def patient(id_: str, **more: Any) -> str:
    return json.dumps({"resourceType": "Patient", "id": id_, **more})


def bundle(*items: Any, **more: Any) -> str:
    return json.dumps({"resourceType": "Bundle", "type": "collection", "entry": list(items), **more}, indent=1)


class TestLines:
    def test_a_line_is_read_letter_by_letter_with_its_place(self, tmp_path: Path):
        raw = '{"resourceType":"Location","id":"a", "position":{"longitude":1.00,"latitude":2e1}}'
        path = write(tmp_path / "x.ndjson", patient("1"), "", "  ", raw, "")
        found, bad = read(path)
        assert [(one.type, one.place) for one in found] == [("Location", f"{path}:4"), ("Patient", f"{path}:1")]
        assert found[0].raw.strip() == raw.encode()
        assert bad == []

    def test_what_is_no_resource_is_named_by_file_and_line(self, tmp_path: Path):
        path = write(
            tmp_path / "x.ndjson", "{", patient("1"), "[1]", '{"id":"1"}', b'{"resourceType":"P\xff"}', "{} {}"
        )
        found, bad = read(path)
        assert [one.place for one in found] == [f"{path}:2"]
        assert [place for place, _ in bad] == [f"{path}:{line}" for line in (1, 3, 4, 5, 6)]
        assert bad[0][1].startswith("not JSON")
        assert "resourceType" in bad[1][1]

    def test_byte_order_mark_carriage_returns_and_a_last_line_without_an_end(self, tmp_path: Path):
        path = write(tmp_path / "x.ndjson", b"\xef\xbb\xbf" + patient("1").encode() + b"\r", patient("2"))
        found, bad = read(path)
        assert [json.loads(one.raw)["id"] for one in found] == ["1", "2"]
        assert bad == []

    def test_an_empty_file_holds_nothing(self, tmp_path: Path):
        assert read(write(tmp_path / "x.ndjson", "")) == ([], [])

    def test_a_pipe_is_read_once(self, tmp_path: Path):
        pipe = tmp_path / "pipe.ndjson"
        os.mkfifo(pipe)
        writer = threading.Thread(target=lambda: pipe.write_bytes(patient("1").encode()))
        writer.start()
        found, bad = read(pipe)
        writer.join()
        assert [json.loads(one.raw)["id"] for one in found] == ["1"]
        assert bad == []


class TestOrder:
    def test_types_come_in_the_order_of_their_dependencies_then_the_others_by_name(self, tmp_path: Path):
        types = ["Zebra", "Appointment", "Slot", "Basic", "Patient", "Schedule", "Organization", "Flag", "Practitioner"]
        path = write(tmp_path / "x.ndjson", *(json.dumps({"resourceType": one, "id": "1"}) for one in types))
        found, _ = read(path)
        assert [one.type for one in found] == [
            *("Organization", "Practitioner", "Patient", "Schedule", "Slot", "Appointment", "Flag", "Basic", "Zebra")
        ]

    def test_one_type_keeps_the_order_of_files_and_lines(self, tmp_path: Path):
        write(tmp_path / "b.ndjson", patient("3"), patient("4"))
        write(tmp_path / "a.ndjson", patient("1"), patient("2"))
        write(tmp_path / "c" / "d" / "e.json", patient("5"))
        found, _ = read(tmp_path)
        assert [json.loads(one.raw)["id"] for one in found] == ["1", "2", "3", "4", "5"]


class TestFolders:
    def test_a_folder_gives_the_files_with_known_endings(self, tmp_path: Path):
        names = ["a.ndjson", "b.JSON", "c.jsonl", "d.txt", "e.json.gz", "f/g.ndjson.gz", "h.gz"]
        for name in names:
            write(tmp_path / name, "")
        assert [str(one.relative_to(tmp_path)) for one in files_in([tmp_path])] == [
            *("a.ndjson", "b.JSON", "c.jsonl", "e.json.gz", "f/g.ndjson.gz")
        ]

    def test_a_file_that_is_named_is_read_whatever_its_ending(self, tmp_path: Path):
        found, _ = read(write(tmp_path / "patients.txt", patient("1")))
        assert len(found) == 1

    def test_a_path_that_does_not_exist(self, tmp_path: Path):
        with pytest.raises(FileNotFoundError):
            list(files_in([tmp_path / "nowhere"]))


class TestCompressed:
    def test_lines_and_bundles_are_unpacked(self, tmp_path: Path):
        lines = write(tmp_path / "a.ndjson.gz", gzip.compress(f"{patient('1')}\n{patient('2')}".encode()))
        packed = bundle({"resource": {"resourceType": "Patient", "id": "3"}})
        whole = write(tmp_path / "b.json.gz", gzip.compress(packed.encode()))
        single = write(tmp_path / "c.json.gz", gzip.compress(patient("4").encode()))
        found, bad = read(lines, whole, single)
        assert [(json.loads(one.raw)["id"], one.place) for one in found] == [
            ("1", f"{lines}:1"),
            ("2", f"{lines}:2"),
            ("3", f"{whole}:entry[0]"),
            ("4", str(single)),
        ]
        assert bad == []

    def test_damaged_data_is_named_and_what_came_before_is_read(self, tmp_path: Path):
        content = "\n".join(patient(str(number), text=os.urandom(40).hex()) for number in range(2000))
        damaged = write(tmp_path / "a.ndjson.gz", gzip.compress(content.encode())[:-5000])
        no_gzip = write(tmp_path / "b.ndjson.gz", patient("1"))
        found, bad = read(damaged, no_gzip)
        assert all(one.place.startswith(f"{damaged}:") for one in found)
        assert {place for place, reason in bad if "gzip" in reason} == {str(damaged), str(no_gzip)}


class TestBundles:
    def test_entries_count_one_by_one_and_keep_their_letters(self, tmp_path: Path):
        raw = '{ "resourceType": "Location","id":"b","name":"a \\"{[ b","position":{"longitude":1.00,"latitude":0.10}}'
        text = '{"entry":[{"fullUrl":"x","resource":%s},{"request":{"method":"DELETE"}},%s],"resourceType":"Bundle"}'
        path = write(tmp_path / "b.json", text % (raw, '{"resource":{"id":"no type"}}'))
        found, bad = read(path)
        assert [(one.place, one.raw) for one in found] == [(f"{path}:entry[0]", raw.encode())]
        assert [place for place, _ in bad] == [f"{path}:entry[1]", f"{path}:entry[2]"]

    def test_a_single_resource_is_named_by_its_file(self, tmp_path: Path):
        path = write(tmp_path / "p.json", "\n", patient("1", contained=[{"resourceType": "Bundle"}], entry=1), "\n")
        found, bad = read(path)
        assert [(one.type, one.place) for one in found] == [("Patient", str(path))]
        assert bad == []

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("", "empty"),
            ("[]", "object is needed"),
            ('{"resourceType":"Bundle","entry":[{"resource":{', "ends inside"),
            ('{"resourceType":"Patient"}\n{"resourceType":"Patient"}', ".ndjson"),
            ('{"resourceType":"Patient",}', "not JSON"),
            ("{}", "no resourceType"),
        ],
    )
    def test_what_is_no_json_object_is_named_by_its_file(self, tmp_path: Path, text: str, reason: str):
        path = write(tmp_path / "p.json", text)
        found, bad = read(path)
        assert found == []
        ((place, why),) = bad
        assert place == str(path)
        assert reason in why

    def test_urn_references_become_literal_ones(self, tmp_path: Path):
        urn = "urn:uuid:0c7a1b5e-0000-4000-8000-00000000000"
        path = write(
            tmp_path / "b.json",
            bundle(
                {"fullUrl": f"{urn}1", "resource": {"resourceType": "Patient", "identifier": [{"value": "x"}]}},
                {
                    "fullUrl": f"{urn}2",
                    "resource": {
                        "resourceType": "Coverage",
                        "id": "c",
                        "beneficiary": {"reference": f"{urn}1"},
                        "payor": [{"reference": "urn:uuid:elsewhere"}, {"identifier": {"value": f"{urn}1"}}],
                    },
                },
            ),
        )
        with InputFiles() as inputs:
            inputs.add(path)
            first, second = (request_for(one.raw, one.given_id, inputs.urns) for one in inputs.found())
        id_ = f"{urn}1".removeprefix("urn:uuid:")
        assert (first.method, first.path) == ("PUT", f"Patient/{id_}")
        assert json.loads(first.body)["id"] == id_
        body = json.loads(second.body)
        assert body["beneficiary"] == {"reference": f"Patient/{id_}"}
        assert body["payor"] == [{"reference": "urn:uuid:elsewhere"}, {"identifier": {"value": f"{urn}1"}}]

    @given(st.recursive(st.text(max_size=5) | st.integers() | st.booleans(), lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner), max_leaves=12), st.booleans())  # fmt: skip  # noqa: E501
    def test_the_scan_agrees_with_a_parser(self, value: Any, pretty: bool):
        resources = [{"resourceType": "Basic", "id": str(number), "value": value} for number in range(3)]
        whole = {
            "meta": value,
            "resourceType": "Bundle",
            "link": [{"entry": [{"resource": value}]}],
            "entry": [{"search": value, "resource": one, "link": value, "fullUrl": "u"} for one in resources],
            "signature": {"entry": [value]},
        }
        text = json.dumps(whole, indent=2 if pretty else None, ensure_ascii=pretty).encode()
        found = entries(text, 0, len(text))
        assert found is not None
        assert [json.loads(text[one.offset : one.offset + one.length]) for one in found] == resources
        assert [one.full_url for one in found] == ["u"] * 3

    @given(st.binary(max_size=60))
    def test_the_scan_never_hangs_or_breaks(self, garbage: bytes):
        for text in (garbage, b'{"resourceType":"Bundle","entry":[{"resource":' + garbage):
            with contextlib.suppress(Broken):
                entries(text, 0, len(text))


class TestRequests:
    def test_a_resource_with_an_id_is_put_as_it_is(self):
        raw = b' {"resourceType":"Location","id":"a.B-1","position":{"longitude":1.00,"latitude":2.0}}'
        request = request_for(raw)
        assert (request.method, request.path, request.body) == ("PUT", "Location/a.B-1", raw)
        assert request.headers == {}

    def test_an_identifier_without_an_id_is_a_conditional_create(self):
        raw = json.dumps(
            {
                "resourceType": "Patient",
                "identifier": [{"type": {}}, {"value": "no system"}, {"system": "http://x/a,b", "value": "a|b$c"}],
            }
        ).encode()
        request = request_for(raw)
        assert (request.method, request.path, request.body) == ("POST", "Patient", raw)
        assert unquote(request.headers["If-None-Exist"]) == r"identifier=http://x/a\,b|a\|b\$c"
        assert request.headers["If-None-Exist"].isascii()

    def test_neither_gives_an_id_from_the_content(self):
        raw = b'\t{ "resourceType":"Slot","x":1.00}'
        first = request_for(raw)
        assert request_for(raw) == first
        assert request_for(raw + b"\r\n").path == first.path
        assert request_for(raw.replace(b"1.00", b"1.0")).path != first.path
        type_, id_ = first.path.split("/")
        assert (first.method, type_, len(id_)) == ("PUT", "Slot", 32)
        assert json.loads(first.body)["id"] == id_
        assert b"1.00" in first.body

    @pytest.mark.parametrize("id_", [5, ".", "..", ["a"]])
    def test_an_id_that_no_url_can_hold(self, id_: Any):
        with pytest.raises(ValueError, match="id cannot be part"):
            request_for(json.dumps({"resourceType": "Patient", "id": id_}).encode())

    def test_odd_names_stay_inside_their_segment(self):
        assert request_for(b'{"resourceType":"../x","id":"a/b?c"}').path == "..%2Fx/a%2Fb%3Fc"

    @pytest.mark.parametrize(
        ("resource", "lane"),
        [
            ({"resourceType": "Patient", "id": "1"}, "Patient/1"),
            ({"resourceType": "Slot", "id": "1", "schedule": {"reference": "Schedule/2"}}, "Schedule/2"),
            ({"resourceType": "Slot", "id": "1", "schedule": {"identifier": {}}}, "Slot/1"),
            ({"resourceType": "Slot", "id": "1", "schedule": 3}, "Slot/1"),
            (
                {
                    "resourceType": "Appointment",
                    "participant": [{"actor": {"reference": "Patient/1"}}, {}, {"actor": {"reference": "Device/1"}}],
                },
                "Device/1",
            ),
            ({"resourceType": "Appointment", "id": "1", "participant": [3]}, "Appointment/1"),
        ],
    )
    def test_what_shares_a_lane(self, resource: dict[str, Any], lane: str):
        assert lane_of(resource) == lane


class TestDelivery:
    async def test_a_type_is_done_before_the_next_and_a_lane_keeps_its_order(self):
        import asyncio

        done: list[tuple[str, int]] = []
        under_way = most = 0

        async def send(content: tuple[str, int]) -> Answer:
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            for _ in range(content[1] % 7):
                await asyncio.sleep(0)
            under_way -= 1
            done.append(content)
            return Answer("created")

        items = [Item(type_, "", f"lane {number % 5}", (type_, number)) for type_ in "AB" for number in range(400)]
        noted: list[str] = []
        await deliver(items, send, lambda type_, *_: noted.append(type_), lanes=4)
        assert [type_ for type_, _ in done] == ["A"] * 400 + ["B"] * 400
        assert noted == ["A"] * 400 + ["B"] * 400
        assert 1 < most <= 4
        for lane in range(5):
            numbers = [number for type_, number in done if type_ == "A" and number % 5 == lane]
            assert numbers == sorted(numbers)

    async def test_an_error_ends_the_delivery_as_itself(self):
        async def send(_: int) -> Answer:
            msg = "gone"
            raise ConnectionError(msg)

        items = [Item("A", "", str(number), number) for number in range(2000)]
        with pytest.raises(ConnectionError, match="gone"):
            await deliver(items, send, lambda *_: None)
