"""`manage.py up`: the order of a start.

Whatever can be refused is refused before anything slow: settings, var directory, ports, space. Then the
embedded servers, `manage.py prepare` (migrations, seed, first administrator), and the processes. This
process never loads Django.
"""

import argparse
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from opsconductor import embedded, env, servers, sockets
from opsconductor.embedded import StartError
from opsconductor.exceptions import OpsConductorError
from opsconductor.firstpage import FirstPage
from opsconductor.supervisor import Child, Output, Supervisor

HTTP_HOST = "127.0.0.1"
HTTP_PORT, TRAP_PORT = 8000, 1162
WAIT_FOR_COMMAND_SECONDS = 5
DEMO = (
    "This is a demo: nothing of its network exists. A core switch dies in 20 s; what happens is told below, and begins "
    "anew every six minutes."
)
# Nothing but the first preparation needs it, so nothing else carries it about.
FOR_PREPARE = ("OPSCONDUCTOR_ADMIN_PASSWORD", "OPSCONDUCTOR_ADMIN_PASSWORD_FILE")


def main(argv: Sequence[str]) -> int:
    """Runs the whole system until it is stopped. 0 after a stop, 1 after a refusal said in one sentence."""
    options = parse(argv)
    var = env.make_var_dir(env.var_dir())
    try:
        return _run(options, var)
    except (OpsConductorError, OSError) as error:
        if isinstance(error, OSError) and error.errno is None:
            raise
        print(servers.sentence(error, var), file=sys.stderr)
        return 1


def parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bin/up", description="Starts OpsConductor; Ctrl-C stops it.")
    parser.add_argument("--port", type=_port, default=HTTP_PORT, help="HTTP on 127.0.0.1 (default 8000; 0: any)")
    parser.add_argument(
        "--trap-port",
        type=_port,
        help="UDP on 127.0.0.1 and ::1 (default 1162; 0: any); beats OPSCONDUCTOR_TRAP_LISTEN",
    )
    parser.add_argument(
        "--demo", action="store_true", help="with a made-up network of 60 devices in which a story happens"
    )
    return parser.parse_args(argv)


def _port(word: str) -> int:
    if not (word.isascii() and word.isdigit() and int(word) < 65536):
        raise argparse.ArgumentTypeError(f"{word} is not a port: use 1 to 65535")
    return int(word)


def _run(options: argparse.Namespace, var: Path) -> int:
    from opsconductor import settings  # reads and judges every value of the environment

    started_at = process_start()
    output = Output(sys.stdout)
    with ExitStack() as stack:
        stack.enter_context(_lock(var, options.port))
        web_socket = stack.enter_context(sockets.http(HTTP_HOST, options.port))
        trap_sockets = _trap_sockets(options)
        trap_address = demo_address(trap_sockets) if options.demo else ""
        embedded.check_space(var)
        settings.STATIC_ROOT.mkdir(exist_ok=True)  # whitenoise warns when it is missing
        supervisor = Supervisor(output)
        for warning in env.unknown():
            supervisor.say(warning)
        for server in servers.wanted(var):
            server.start(stop=lambda: supervisor.stopping)
            stack.callback(server.stop)  # for errors on the way; an orderly stop has ended it before
            if supervisor.stopping:
                return 0
            supervisor.adopt(server)
        programs = Programs(supervisor, var, demo=options.demo)
        code = supervisor.once(programs.prepare())
        if code:
            supervisor.stop()
            return 1
        if not supervisor.stopping:
            page = FirstPage(supervisor, web_socket.getsockname(), settings.ALLOWED_HOSTS)
            programs.start_web(web_socket.fileno())
            programs.start_listener([trap.socket.fileno() for trap in trap_sockets])
            supervisor.run(until=page.decided)
            if page.answered:
                _announce(supervisor, web_socket.getsockname()[1], trap_sockets, time.time() - started_at)
        if not supervisor.stopping:  # after the page, whose start would share the processor with them
            programs.start_others()
            if options.demo:
                supervisor.say(DEMO)
                programs.start_demo(sockets.spell(*web_socket.getsockname()[:2]), trap_address)
            supervisor.run()
        supervisor.say("Stopping.")
        supervisor.stop()
        supervisor.say("Stopped.")
    return 0


@contextmanager
def _lock(var: Path, port: int) -> Iterator[None]:
    """The var directory for us alone. Raises StartError naming who has it."""
    deadline = time.monotonic() + WAIT_FOR_COMMAND_SECONDS
    while True:
        with embedded.hold(var, "up", url=f"http://{sockets.spell(HTTP_HOST, port)}/") as lock:
            if lock is not None:
                yield
                return
        owner = embedded.holder(var)
        if owner.get("what") == "up":
            raise StartError(
                f"OpsConductor already runs on {var} (pid {owner.get('pid')}, {owner.get('url')}). "
                "Stop it first, or give this one its own directory and ports: "
                "OPSCONDUCTOR_VAR, --port, --trap-port."
            )
        if time.monotonic() > deadline:
            command = owner.get("command", "A command")
            raise StartError(
                f"{command} (pid {owner.get('pid')}) is using the database of {var}. Start again when it has ended."
            )
        time.sleep(0.1)


def _trap_sockets(options: argparse.Namespace) -> list[sockets.TrapSocket]:
    if options.trap_port is None:
        chosen = env.addresses("OPSCONDUCTOR_TRAP_LISTEN")
        if chosen:
            return sockets.traps(chosen)
    return sockets.loopback_traps(TRAP_PORT if options.trap_port is None else options.trap_port)


def demo_address(traps: Sequence[sockets.TrapSocket]) -> str:
    """Where the devices of the demo, which have loopback addresses, send their traps. Raises StartError."""
    for trap in traps:
        host, port = trap.socket.getsockname()[:2]
        if host == "0.0.0.0" or host.startswith("127."):  # noqa: S104 - compared, not bound
            return sockets.spell("127.0.0.1" if host == "0.0.0.0" else host, port)  # noqa: S104
    raise StartError("The demo needs a trap socket on 127.0.0.1 or 0.0.0.0: change OPSCONDUCTOR_TRAP_LISTEN.")


def _announce(supervisor: Supervisor, port: int, traps: Sequence[sockets.TrapSocket], seconds: float) -> None:
    granted = min(trap.buffer_bytes for trap in traps)
    buffer = f"receive buffer {granted / 1024**2:.3g} MB"
    if granted < sockets.RECEIVE_BUFFER_BYTES:
        wanted = sockets.RECEIVE_BUFFER_BYTES
        buffer += f" of {wanted / 1024**2:.3g} wanted; sysctl net.core.rmem_max={wanted} allows more"
    supervisor.say(f"SNMP traps on UDP {', '.join(trap.address for trap in traps)} ({buffer}).")
    supervisor.say(f"OpsConductor is ready: http://{sockets.spell(HTTP_HOST, port)}/")
    supervisor.say(f"First page after {seconds:.1f} s. Ctrl-C stops everything.")


class Programs:
    """What each process is started with."""

    def __init__(self, supervisor: Supervisor, var: Path, *, demo: bool = False) -> None:
        self.supervisor = supervisor
        self.demo = demo
        self.environment = {
            **{name: value for name, value in os.environ.items() if name not in FOR_PREPARE},
            "DJANGO_SETTINGS_MODULE": "opsconductor.settings",
            "OPSCONDUCTOR_SUPERVISED": str(os.getpid()),
            "OPSCONDUCTOR_VAR": str(var),  # absolute, as children have a working directory of their own
            "PYTHONUNBUFFERED": "1",
        }
        self.environment.pop("OPSCONDUCTOR_DEMO", None)
        if demo:
            self.environment["OPSCONDUCTOR_DEMO"] = "1"

    def prepare(self) -> Child:
        given = {name: os.environ[name] for name in FOR_PREPARE if name in os.environ}
        return self._python("up", "manage.py", "prepare", *["--demo"] * self.demo, extra=given)

    def start_web(self, descriptor: int) -> None:
        # Daphne's default closes every WebSocket after a day.
        words = f"-m daphne --fd {descriptor} -v 0 --no-server-name --websocket_timeout -1"
        self._add("web", *words.split(), "opsconductor.web:application", fds=[descriptor])

    def start_listener(self, descriptors: Sequence[int]) -> None:
        listen = {"OPSCONDUCTOR_TRAP_FDS": ",".join(map(str, descriptors))}
        self._add("listener", "manage.py", "trap_listener", fds=descriptors, extra=listen)

    def start_others(self) -> None:
        celery = "-m celery -q -A opsconductor"
        worker = f"{celery} worker -P threads -c 4 --without-gossip --without-mingle --loglevel WARNING"
        self._add("dispatcher", "manage.py", "dispatcher")
        self._add("worker", *worker.split())
        self._add("beat", *f"{celery} beat --loglevel WARNING --pidfile=".split())  # no file to grow stale

    def start_demo(self, web: str, traps: str) -> None:
        # --force: whether the demo may be here was decided by `prepare`, and people may add devices meanwhile.
        words = f"manage.py seed_demo --force --play --url http://{web} --trap-address {traps}"
        self._add("demo", *words.split())

    def _add(self, name: str, *words: str, **more: Any) -> None:
        self.supervisor.add(self._python(name, *words, **more))

    def _python(self, name: str, *words: str, fds: Sequence[int] = (), extra: dict[str, str] | None = None) -> Child:
        return self.supervisor.program(
            name,
            [sys.executable, *words],
            env={**self.environment, **(extra or {})},
            cwd=env.BASE_DIR,
            pass_fds=fds,
        )


def process_start() -> float:
    """When this process began, as time.time(). bin/up becomes this process, so its installing is counted."""
    try:
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        uptime = float(Path("/proc/uptime").read_text().split()[0])
        return time.time() - uptime + ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return time.time() - time.process_time()
