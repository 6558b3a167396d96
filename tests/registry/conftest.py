"""A fresh database per test, on SQLite and on a PostgreSQL server that is really started."""

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from alembic import command
from alembic.config import Config

import registry as package
from registry import Registry, Version
from registry.keeping.keeper import Keeper
from registry.revisions import exclusive

Publish = Callable[..., Version]
POSTGRESQL_FOLDERS = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)


class PostgresServer:
    """A throw-away server on a Unix socket, owned by a user that is not root."""

    def __init__(self, binaries: Path) -> None:
        self.binaries = binaries
        self.folder = Path(tempfile.mkdtemp(prefix="promptctl-pg-"))
        self.user: str | None = None
        if os.getuid() == 0:
            self.user = _unprivileged()
            shutil.chown(self.folder, self.user)
        data = str(self.folder / "data")
        initdb = [binaries / "initdb", "-D", data, "-U", "tester", "-A", "trust", "-E", "UTF8", "--no-sync"]
        subprocess.run(
            initdb, user=self.user, cwd=self.folder, check=True, stdout=subprocess.DEVNULL, env={"LC_ALL": "C"}
        )
        options = ["listen_addresses=", "fsync=off", "full_page_writes=off", "max_connections=60"]
        self.log = (self.folder / "log").open("wb")
        self.process = subprocess.Popen(
            [binaries / "postgres", "-D", data, "-k", self.folder, *(f"--{option}" for option in options)],
            user=self.user,
            cwd=self.folder,
            stdout=self.log,
            stderr=self.log,
            env={"LC_ALL": "C"},
        )

    def url(self, database: str) -> str:
        return f"postgresql://tester@/{database}?host={self.folder}"

    def execute(self, statement: str) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement.encode())

    def wait(self) -> None:
        for _ in range(300):
            try:
                return self.execute("SELECT 1")
            except psycopg.OperationalError:
                assert self.process.poll() is None, (self.folder / "log").read_text()
                time.sleep(0.1)
        pytest.fail("PostgreSQL did not start within 30 s")

    def stop(self) -> None:
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait(30)
        self.log.close()
        shutil.rmtree(self.folder)


def _unprivileged() -> str:
    known = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"


def server_binaries() -> Path | None:
    on_path = shutil.which("initdb")
    folders = [Path(on_path).parent] if on_path else []
    return next((folder for folder in [*folders, *POSTGRESQL_FOLDERS] if (folder / "initdb").exists()), None)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """The server, with a database `template_head` at the head revision to copy from."""
    binaries = server_binaries()
    if binaries is None:
        missing = "no PostgreSQL server binaries on this machine"
        pytest.fail(missing) if os.environ.get("CI") == "true" else pytest.skip(missing)
    server = PostgresServer(binaries)
    try:
        server.wait()
        server.execute("CREATE DATABASE template_head")
        package.upgrade(server.url("template_head"))
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def sqlite_head(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file at the head revision to copy from."""
    path = tmp_path_factory.mktemp("head") / "registry.db"
    package.upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database with no table in it."""
    yield from _database(request, tmp_path, None)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database at the head revision."""
    yield from _database(request, tmp_path, "template_head")


def _database(request: pytest.FixtureRequest, tmp_path: Path, template: str | None) -> Iterator[str]:
    if request.param == "sqlite":
        path = tmp_path / "registry.db"
        if template is not None:
            shutil.copy(request.getfixturevalue("sqlite_head"), path)
        yield f"sqlite:///{path}"
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    name = f"test_{uuid4().hex}"
    server.execute(f"CREATE DATABASE {name} TEMPLATE {template or 'template0'}")
    yield server.url(name)
    server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def upgrade_to() -> Callable[[str, str], None]:
    """Bring a database to an earlier revision than the head."""

    def upgrade_to(revision: str, database_url: str) -> None:
        with exclusive(database_url) as connection:
            config = Config(attributes={"connection": connection})
            config.set_main_option("script_location", str(files("migrations")))
            command.upgrade(config, revision)

    return upgrade_to


@pytest.fixture
def store(tmp_path: Path) -> str:
    return str(tmp_path / "store")


@pytest.fixture
def registry(database: str, store: str) -> Iterator[Registry]:
    opened = Registry.open(database, store)
    yield opened
    opened.close()


@pytest.fixture
def keeper(database: str, store: str) -> Iterator[Keeper]:
    opened = Keeper.open(database, store)
    yield opened
    opened.close()


@pytest.fixture
def publish(registry: Registry) -> Publish:
    """Publish a blob of its own content under a key of its own."""

    def publish(name: str = "sentiment", blob: bytes | None = None, **options: object) -> Version:
        key = uuid4().hex
        given = {"idempotency_key": key, "actor": "ada"} | options
        return registry.publish(name, key.encode() if blob is None else blob, {"form": "prefix"}, **given)  # pyright: ignore[reportArgumentType]

    return publish


@pytest.fixture
def work() -> Callable[..., list[str]]:
    """Run a job of workers.py, or another script, in processes of its own; the lines that it printed."""

    def work(job: str, *arguments: object, path: Path | None = None, of: str = "workers.py") -> list[str]:
        places = [str(path)] if path else []
        script = Path(__file__).with_name(of)
        done = subprocess.run(
            [sys.executable, script, job, *map(str, arguments)],
            env=os.environ | {"PYTHONPATH": os.pathsep.join([*places, *sys.path])},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    return work
