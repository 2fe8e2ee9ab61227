"""A child ends with its parent."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import uuid
from typing import TYPE_CHECKING

import pytest

from fhir_server.embedded import child
from tests.embedded.processes import processes_with, wait_until

if TYPE_CHECKING:
    from pathlib import Path

SLEEP = "import sys, time; print('here', flush=True); time.sleep(600)"
UNTIL_END_OF_INPUT = "import sys; print('here', flush=True); sys.stdin.read()"
PARENT = """
import sys, time
from pathlib import Path
from fhir_server.embedded import child
way, program, mark, log = sys.argv[1:]
started = child.start([sys.executable, "-c", program, mark], Path(log), way=way)
while "here" not in started.output():
    time.sleep(0.01)
print("ready", flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize(
    ("way", "program"),
    [
        ("exec" if sys.platform == "linux" else "watch", SLEEP),
        ("watch", SLEEP),
        ("stdin", UNTIL_END_OF_INPUT),
    ],
)
def test_a_killed_parent_leaves_no_child(way: str, program: str, tmp_path: Path) -> None:
    mark = uuid.uuid4().hex
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, way, program, mark, str(tmp_path / "log")], stdout=subprocess.PIPE, text=True
    ) as parent:
        try:
            assert parent.stdout is not None
            assert parent.stdout.readline() == "ready\n"
        finally:
            parent.send_signal(signal.SIGKILL)
    assert wait_until(lambda: not processes_with(mark)), processes_with(mark)


def test_a_child_of_a_passing_thread_outlives_the_thread(tmp_path: Path) -> None:
    started: list[child.Child] = []
    command = [sys.executable, "-c", SLEEP]
    thread = threading.Thread(target=lambda: started.append(child.start(command, tmp_path / "log")))
    thread.start()
    thread.join()
    assert wait_until(lambda: "here" in started[0].output())
    assert started[0].alive()
    started[0].stop()
    assert not started[0].alive()


@pytest.mark.parametrize("way", ["exec", "watch"])
def test_stop_reaches_the_command(way: child.Way, tmp_path: Path) -> None:
    mark = uuid.uuid4().hex
    says_bye = (
        "import signal, sys, time; signal.signal(15, lambda *_: sys.exit(print('bye'))); print('here', flush=True)"
    )
    started = child.start([sys.executable, "-c", f"{says_bye}; time.sleep(600)", mark], tmp_path / "log", way=way)
    assert wait_until(lambda: "here" in started.output())
    started.stop()
    started.stop()
    assert "bye" in started.output()
    assert not processes_with(mark)


@pytest.mark.parametrize("way", ["exec", "watch"])
def test_stop_kills_a_child_that_does_not_listen(way: child.Way, tmp_path: Path) -> None:
    mark = uuid.uuid4().hex
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print('here', flush=True); time.sleep(600)"
    started = child.start([sys.executable, "-c", deaf, mark], tmp_path / "log", way=way)
    assert wait_until(lambda: "here" in started.output())
    started.stop(seconds=0.2)
    assert wait_until(lambda: not processes_with(mark)), processes_with(mark)


def test_output_is_that_of_this_start_alone(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("earlier\n")
    started = child.start([sys.executable, "-c", "print('now')"], log)
    assert wait_until(lambda: not started.alive())
    assert started.output() == "now\n"
    assert log.read_text() == "earlier\nnow\n"


def test_a_large_log_moves_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "_LOG_LIMIT", 4)
    log = tmp_path / "log"
    log.write_text("earlier\n")
    started = child.start([sys.executable, "-c", "print('now')"], log)
    assert wait_until(lambda: not started.alive())
    assert log.read_text() == "now\n"
    assert (tmp_path / "log.1").read_text() == "earlier\n"
