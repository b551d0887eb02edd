"""A real PostgreSQL server for the tests: Debian's, in a directory of its own, on a Unix socket in it, not run by root.
All workers of a session share one, and each test has a database of its own.

The server lives as long as somebody holds the shared lock beside it, and the kernel lets go of that however a worker
ends; who watches for it (`_WATCH`) then stops the server and removes its directory.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import asyncpg

from pbxd.store import Store

PROGRAMS = Path("/usr/lib/postgresql")
TEMPLATE = "pbxd_template"
USER = "pbxd"
_QUICK = {  # nothing of these servers must survive the machine, and a test has few connections
    "fsync": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "shared_buffers": "32MB",
    "max_connections": "200",
    "max_wal_size": "512MB",
    "log_min_messages": "warning",
}
_END = """
kill -QUIT "$(head -n 1 "$1/data/postmaster.pid")"
for _ in $(seq 100); do [ -e "$1/data/postmaster.pid" ] || break; sleep 0.1; done
rm -rf "$1"
"""
_WATCH = 'flock "$1" /bin/sh -c "$2" end "$3" &'
_CLEAN = """
DO $$
DECLARE one text; filled boolean;
BEGIN
    FOR one IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version' LOOP
        EXECUTE format('SELECT EXISTS (SELECT 1 FROM %I)', one) INTO filled;
        IF filled THEN EXECUTE format('TRUNCATE %I RESTART IDENTITY CASCADE', one); END IF;
    END LOOP;
    FOR one IN SELECT sequencename FROM pg_sequences WHERE schemaname = 'public' AND last_value IS NOT NULL LOOP
        PERFORM setval(one::regclass, 1, false);
    END LOOP;
END $$
"""
_SHAPE = """
SELECT string_agg(format('%s.%s %s', table_name, column_name, data_type), ',' ORDER BY table_name, column_name)
    || (SELECT string_agg(version_num, ',') FROM alembic_version)
FROM information_schema.columns WHERE table_schema = 'public'
"""


def programs() -> Path:
    """Where the newest installed server's programs are. Raises FileNotFoundError."""
    found = sorted(PROGRAMS.glob("*/bin"), key=lambda path: float(path.parent.name))
    if not found:
        raise FileNotFoundError(f"there is no PostgreSQL server in {PROGRAMS}: make setup-test installs it")
    return found[-1]


def _owner() -> str | None:
    """Who runs the server: ourselves; for root somebody else, because it refuses to run as root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


class Cluster:
    """One server in `folder`. Whoever starts it ends it, or has somebody watch."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._programs = programs()
        self._user = _owner()

    @classmethod
    def make(cls) -> Self:
        """A new cluster, started."""
        folder = Path(tempfile.mkdtemp(prefix="pbxd-pg-"))  # short: the path of a Unix socket has 107 octets
        made = cls(folder)
        if made._user:
            shutil.chown(folder, made._user)
        made._run("initdb", "--no-sync", "--auth=trust", f"--username={USER}", "--encoding=UTF8", "--locale=C.UTF-8")
        made.start()
        return made

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [self._programs / program, "-D", self.folder / "data", *arguments],
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # a server that it starts would hold a pipe open
            user=self._user,
            cwd="/",
            timeout=60,
        )

    def start(self) -> None:
        """Serve again; returns when connections are taken."""
        options = [f"-c {name}={value}" for name, value in _QUICK.items()]
        options += [f"-k {self.folder}", "-c listen_addresses="]
        log = self.folder / "log"
        self._run("pg_ctl", "-w", "-s", "-l", str(log), "-o", " ".join(options), "start")

    def stop(self) -> None:
        """As a crash would: sessions are cut in the middle, what was committed is there after the next start."""
        self._run("pg_ctl", "-w", "-s", "-m", "immediate", "stop")

    def runs(self) -> bool:
        """Whether there is a server."""
        return (self.folder / "data" / "postmaster.pid").exists()

    @property
    def pid(self) -> int:
        """Of the server's first process."""
        return int((self.folder / "data" / "postmaster.pid").read_text().splitlines()[0])

    def watch(self, lock: Path) -> None:
        """Have the server end when nobody holds `lock` any more."""
        subprocess.run(
            ["/bin/sh", "-c", _WATCH, "watch", lock, _END, self.folder],
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
        )

    def url(self, database: str) -> str:
        """What `store.url` says to use `database`."""
        return f"postgresql+asyncpg://{USER}@/{database}?host={self.folder}"

    # ---- databases

    def create(self, database: str, template: str = "template0") -> None:
        """A new database: empty, or as `template` is."""
        asyncio.run(self._say("postgres", f'CREATE DATABASE "{database}" TEMPLATE "{template}"'))

    def make_template(self) -> None:
        """The database that those of the tests begin as: migrated, and empty."""
        self.create(TEMPLATE)
        asyncio.run(_open_and_close(self.url(TEMPLATE)))

    def shape(self, database: str) -> object:
        """The columns and the revision of `database`; None where it is none of ours."""
        return asyncio.run(self._say(database, _SHAPE))

    def clean(self, database: str, shape: object) -> bool:
        """Make `database` as new; False where a test changed its `shape`, and it is good for nothing any more."""
        return asyncio.run(self._clean(database, shape))

    async def _clean(self, database: str, shape: object) -> bool:
        await self._say(
            "postgres", f"SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '{database}'"
        )
        connection = await self._connected(database)
        try:
            same: bool = await connection.fetchval(_SHAPE) == shape
            if same:
                await connection.execute(_CLEAN)
        except asyncpg.UndefinedTableError:
            return False
        else:
            return same
        finally:
            await connection.close()

    async def _say(self, database: str, statement: str) -> object:
        connection = await self._connected(database)
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    async def _connected(self, database: str) -> asyncpg.Connection[asyncpg.Record]:
        return await asyncpg.connect(host=str(self.folder), user=USER, database=database)


async def _open_and_close(url: str) -> None:
    await (await Store.open(url)).close()


@contextmanager
def shared_cluster(place: Path) -> Iterator[Cluster]:
    """The server that all who name the same `place` share; the first one starts it, the last one ends it."""
    place.mkdir(exist_ok=True)
    users, name = place / "users", place / "cluster"
    with users.open("a") as held, (place / "starting").open("a") as starting:
        fcntl.flock(starting, fcntl.LOCK_EX)
        fcntl.flock(held, fcntl.LOCK_SH)
        folder = Path(name.read_text()) if name.exists() else None
        if folder is not None and folder.exists():
            cluster = Cluster(folder)
        else:
            cluster = Cluster.make()
            cluster.watch(users)
            cluster.make_template()
            name.write_text(str(cluster.folder))
        fcntl.flock(starting, fcntl.LOCK_UN)
        yield cluster


class Databases:
    """Databases of one worker, for one test after the other."""

    def __init__(self, cluster: Cluster, worker: str) -> None:
        self._cluster = cluster
        self._worker = worker
        self._free: list[str] = []
        self._made = 0
        self._shape = cluster.shape(TEMPLATE)

    def empty(self) -> str:
        """The URL of a database with nothing in it, for one test."""
        self._made += 1
        self._cluster.create(database := f"{self._worker}_{self._made}")
        return self._cluster.url(database)

    @contextmanager
    def lend(self) -> Iterator[str]:
        """The URL of a database with all tables and no rows."""
        if self._free:
            database = self._free.pop()
        else:
            self._made += 1
            database = f"{self._worker}_{self._made}"
            self._cluster.create(database, TEMPLATE)
        yield self._cluster.url(database)
        if self._cluster.clean(database, self._shape):
            self._free.append(database)
