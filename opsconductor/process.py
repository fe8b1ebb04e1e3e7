"""Starting a process so that nothing is left behind: in its own session, dying with its parent.

Linux gives all of this; elsewhere the process is started plainly and only an orderly stop cleans up.
"""

import contextlib
import ctypes
import os
import pwd
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import IO

PR_SET_PDEATHSIG = 1
CLONE_NEWUSER = 0x10000000
LINUX = sys.platform == "linux"

_libc = ctypes.CDLL(None, use_errno=True) if LINUX else None


def spawn(
    argv: Sequence[str | Path],
    *,
    death_signal: signal.Signals = signal.SIGKILL,
    unprivileged: bool = False,
    pass_fds: Sequence[int] = (),
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: int | IO[bytes] = subprocess.DEVNULL,
    output: int | IO[bytes] | None = None,
) -> subprocess.Popen[bytes]:
    """Starts a child in a session of its own that receives `death_signal` when this process dies.

    The kernel watches the *thread* that forks, so call this from the main thread. `unprivileged` is
    for programs that refuse root. `output` receives stdout and stderr.
    """
    parent = os.getpid()
    way = disguise() if unprivileged else None

    def in_child() -> None:
        if way:
            _put_on(way)
        if _libc:
            _libc.prctl(PR_SET_PDEATHSIG, int(death_signal))  # a change of user would have erased it
            if os.getppid() != parent:  # it died before the line above
                os._exit(1)

    return subprocess.Popen(  # noqa: S603 - every caller builds its own arguments
        [str(word) for word in argv],
        preexec_fn=in_child,
        start_new_session=True,
        pass_fds=tuple(pass_fds),
        env=env,
        cwd=cwd,
        stdin=stdin,
        stdout=output,
        stderr=subprocess.STDOUT if output is not None else None,
    )


@cache
def disguise() -> str | None:
    """How to start a program that refuses root, and users without a name (containers give such numbers).

    None: just so. `userns`: in a user namespace, where it sees itself as nobody while files stay those of
    this user; that needs no account and no change of owners. `nobody`: as that user, for root where the
    kernel refuses namespaces.
    """
    root = os.geteuid() == 0
    if not LINUX or not (root or _nameless()):
        return None
    if _succeeds(lambda: _put_on("userns")):
        return "userns"
    return "nobody" if root else None


def _nameless() -> bool:
    try:
        pwd.getpwuid(os.geteuid())
    except KeyError:
        return True
    return False


def nobody_reaches(path: Path, mode: int) -> bool:
    """Whether `nobody` may open the path in this `os.access` mode."""

    def look() -> None:
        _put_on("nobody")
        if not os.access(path, mode):
            raise PermissionError(path)

    return _succeeds(look)


def nobody() -> pwd.struct_passwd:
    return pwd.getpwnam("nobody")


def _put_on(way: str) -> None:
    if way == "userns":
        assert _libc
        inside = (nobody().pw_uid, nobody().pw_gid)
        outside = (os.geteuid(), os.getegid())
        if _libc.unshare(CLONE_NEWUSER) != 0:
            raise OSError(ctypes.get_errno(), "unshare")
        Path("/proc/self/setgroups").write_text("deny")
        for name, within, without in zip(("uid", "gid"), inside, outside, strict=True):
            Path(f"/proc/self/{name}_map").write_text(f"{within} {without} 1")
    else:
        user = nobody()
        os.setgroups([])
        os.setgid(user.pw_gid)
        os.setuid(user.pw_uid)


def _succeeds(action: Callable[[], None]) -> bool:
    """Runs the action in a forked child, because it cannot be undone."""
    pid = os.fork()
    if pid == 0:
        try:
            action()
            os._exit(0)
        except BaseException:
            os._exit(1)
    return os.waitpid(pid, 0)[1] == 0


def working_in(directory: Path) -> Iterator[int]:
    """Processes working in the directory: the whole family of a PostgreSQL server, orphans too."""
    wanted = str(directory)
    for entry in Path("/proc").glob("[0-9]*") if LINUX else ():
        try:
            if os.readlink(entry / "cwd") == wanted:
                yield int(entry.name)
        except OSError:
            continue  # gone, or somebody else's


def send(pid: int, number: signal.Signals) -> None:
    """Sends a signal to a process that may be gone."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def describe_end(returncode: int) -> str:
    """`exit code 3` or `SIGKILL`, from a Popen returncode."""
    if returncode >= 0:
        return f"exit code {returncode}"
    try:
        return signal.Signals(-returncode).name
    except ValueError:
        return f"signal {-returncode}"
