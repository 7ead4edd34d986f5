"""Run a command that does not outlive whoever started it.

Started as a script, in between parent and command: asks the kernel for a signal on the parent's death (Linux; elsewhere only an
orderly stop ends the command), steps down from root to an unprivileged account where one is named, and becomes the command by
`exec`. So even `kill -9` of a demo or a test run leaves no server behind. Only the standard library is imported, because the
script runs isolated (`-I -S`) to start in milliseconds.
"""

import ctypes
import os
import pwd
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path

Process = subprocess.Popen[bytes]

PR_SET_PDEATHSIG = 1
"""From <linux/prctl.h>. The kernel clears it when credentials change, so it is asked for after the step down."""


def start(
    command: Sequence[str | Path],
    *,
    at_death: signal.Signals,
    log: Path | None,
    environment: Mapping[str, str] | None = None,
    user: str | None = None,
) -> Process:
    """Start `command` in a session of its own, so that Ctrl-C reaches it only through us.

    Its output is appended to `log`; without one it goes where ours goes. To be called from the main thread: the kernel sends
    `at_death` when the *thread* that started the command ends. Without `environment` the command gets next to none, so that a
    server's behaviour does not depend on who starts it.
    """
    tie = [sys.executable, "-I", "-S", __file__, str(os.getpid()), str(int(at_death)), user or ""]
    with log.open("ab") if log else nullcontext() as output:
        return subprocess.Popen(  # noqa: S603 - the commands are our own servers
            [*tie, *map(str, command)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=_plain_environment() if environment is None else dict(environment),
            start_new_session=True,
        )


def stop(process: Process, *signals: signal.Signals, seconds: float = 10) -> None:
    """Send `signals` one after the other, `seconds` apart, then SIGKILL, until this very process is gone."""
    for number in (*signals, signal.SIGKILL):
        if process.poll() is not None:
            return
        process.send_signal(number)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            continue


def _plain_environment() -> dict[str, str]:
    """Return what Python itself may need to start, and messages in English."""
    return {"LC_ALL": "C"} | {name: value for name, value in os.environ.items() if name == "LD_LIBRARY_PATH"}


def _step_down(name: str) -> None:
    account = pwd.getpwnam(name)
    os.setgroups([])
    os.setgid(account.pw_gid)
    os.setuid(account.pw_uid)


def _die_with(parent: int, number: int) -> None:
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, number, 0, 0, 0)
    if os.getppid() != parent:  # it died before we could ask
        raise SystemExit(1)


def _become(parent: str, number: str, user: str, *command: str) -> None:
    if user:
        _step_down(user)
    _die_with(int(parent), int(number))
    os.execv(command[0], command)  # noqa: S606 - a shell is not wanted


if __name__ == "__main__":
    _become(*sys.argv[1:])
