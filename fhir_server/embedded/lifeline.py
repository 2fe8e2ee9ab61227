"""Run a command that never outlives its parent: ``python -I -S lifeline.py exec|watch <parent pid> <command …>``.

    exec   Linux: ask the kernel for SIGKILL on the parent's death, then become the command. The signal follows the
           *thread* that started this process, so it is used from a main thread only. prctl(2), PR_SET_PDEATHSIG.
    watch  elsewhere: stay between parent and command. Standard input is a pipe whose other end only the parent holds;
           its end of file means that the parent is gone.

Standard library only: the script starts without the site packages.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading

PR_SET_PDEATHSIG = 1


def become(parent: int, command: list[str]) -> None:
    """Replace this process by ``command``, tied to ``parent``."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
        sys.exit(f"prctl: {os.strerror(ctypes.get_errno())}")
    # The parent may have died before the request: then nobody will be told.
    if os.getppid() != parent:
        sys.exit(1)
    try:
        os.execv(command[0], command)  # noqa: S606  becoming the command is the purpose
    except OSError as failure:
        sys.exit(f"{command[0]}: {failure.strerror}")


def follow(parent: int) -> None:
    """Tie this process to the parent that started it (Linux): SIGTERM when that is gone. Elsewhere nothing happens."""
    if sys.platform != "linux" or os.getppid() != parent:
        return
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGTERM)


def watch(command: list[str]) -> int:
    """Run ``command``, kill it at the end of standard input, answer its exit status."""
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)

    def wait_for_the_end() -> None:
        while os.read(0, 1):
            pass
        child.kill()

    signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    threading.Thread(target=wait_for_the_end, daemon=True).start()
    status = child.wait()
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    way, parent_pid, *rest = sys.argv[1:]
    if way == "exec":
        become(int(parent_pid), rest)
    sys.exit(watch(rest))
