"""The data folder: one holder, nobody else's files, room to write."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from fhir_server.embedded import folder as module
from fhir_server.embedded.folder import Folder
from fhir_server.embedded.refused import Refused

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOCK_SECONDS", 0.1)


def test_a_folder_remembers(tmp_path: Path) -> None:
    with Folder.open(tmp_path / "deep" / "data") as first:
        first.remember("mongo_port", 4711)
    with Folder.open(tmp_path / "deep" / "data") as second:
        assert second.recall("mongo_port") == 4711
        assert second.recall("redis_port") is None


def test_only_its_owner_can_look_inside(tmp_path: Path) -> None:
    with Folder.open(tmp_path / "data") as folder:
        assert folder.path.stat().st_mode & 0o077 == 0


def test_a_second_holder_is_refused_by_name(tmp_path: Path) -> None:
    with (
        Folder.open(tmp_path),
        pytest.raises(Refused, match=rf"in use by another instance \(process {os.getpid()}\)"),
    ):
        Folder.open(tmp_path)


def test_a_refused_reset_deletes_nothing(tmp_path: Path) -> None:
    with Folder.open(tmp_path) as folder:
        (folder.path / "mongo").mkdir()
        with pytest.raises(Refused):
            Folder.open(tmp_path, reset=True)
        assert (folder.path / "mongo").is_dir()


def test_the_lock_lasts_as_long_as_a_child_that_holds_it(tmp_path: Path) -> None:
    folder = Folder.open(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE, pass_fds=(folder.lock,)
    ) as holder:
        folder.close()
        with pytest.raises(Refused, match="in use"):
            Folder.open(tmp_path)
        assert holder.stdin is not None
        holder.stdin.close()
        holder.wait()
    Folder.open(tmp_path).close()


def test_reset_deletes_what_is_ours_alone(tmp_path: Path) -> None:
    with Folder.open(tmp_path) as folder:
        folder.remember("seed", "done")
        for name in ("mongo", "redis"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "data").write_text("x")
        (tmp_path / "mongod.log").write_text("x")
        (tmp_path / "letter.txt").write_text("mine")
    with Folder.open(tmp_path, reset=True) as folder:
        assert folder.recall("seed") is None
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["folder.json", "letter.txt", "lock"]


def test_reset_does_not_follow_a_link(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "data").write_text("x")
    with Folder.open(tmp_path / "data") as folder:
        (folder.path / "mongo").symlink_to(elsewhere)
    Folder.open(tmp_path / "data", reset=True).close()
    assert (elsewhere / "data").exists()


@pytest.mark.parametrize("reset", [False, True])
def test_a_strangers_folder_is_refused_and_left_alone(reset: bool, tmp_path: Path) -> None:
    (tmp_path / "mongo").mkdir()
    with pytest.raises(Refused, match="not made by fhir-server"):
        Folder.open(tmp_path, reset=reset)
    assert [entry.name for entry in tmp_path.iterdir()] == ["mongo"]


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(Refused, match="cannot be used"):
        Folder.open(tmp_path / "file")


def test_a_damaged_marker_is_named_and_reset_helps(tmp_path: Path) -> None:
    Folder.open(tmp_path).close()
    (tmp_path / "folder.json").write_text("{")
    with pytest.raises(Refused, match="is damaged") as refusal:
        Folder.open(tmp_path)
    assert refusal.value.fixes == ("start over: fhir-server dev --reset",)
    Folder.open(tmp_path, reset=True).close()
    assert json.loads((tmp_path / "folder.json").read_text()) == {"made_by": "fhir-server"}


def test_a_nearly_full_disk_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "NEEDED_BYTES", 1 << 60)
    with pytest.raises(Refused, match="MB are free"):
        Folder.open(tmp_path)
    monkeypatch.undo()
    Folder.open(tmp_path).close()
