"""Whether promptctl is well here: what it needs can be reached, and nothing keeps what users write."""

import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import registry
from registry.store import open_store

from . import core_dumps, open_proxies, ray_privacy
from .cluster import fitting
from .errors import InvalidSpec
from .settings import Settings

CLOSING = "promptctl-haproxy"
NOTHING = f"sha256:{0:064}"  # the digest of no blob


@dataclass(frozen=True)
class Check:
    """One thing that was looked at, and what to do where it is not well."""

    check: str
    state: Literal["ok", "not ok", "not needed"]
    found: str
    todo: str = ""


def examine(settings: Settings) -> Iterator[Check]:
    """Look at everything; nothing is written."""
    yield home(settings.home)
    yield database(settings.database_url)
    yield store(settings.store_url)
    yield crashes()
    yield tracebacks()
    yield ray(settings.home)
    yield object_store()
    yield proxy(Path(sys.executable).parent)
    yield from doors()
    yield from switches()


def home(folder: Path) -> Check:
    """The folder of everything is for its owner alone."""
    if not folder.exists():
        return Check("home", "ok", f"{folder} is not there yet")
    mode = folder.stat().st_mode & 0o777
    if mode & 0o077:
        return Check("home", "not ok", f"{folder} has mode {mode:o}: others get in", f"chmod 700 {folder}")
    return Check("home", "ok", f"{folder} is its owner's alone")


def database(url: str) -> Check:
    """The registry's database answers, at the revision that this version needs."""
    try:
        found, needed = registry.current(url), registry.head()
    except registry.RegistryError as error:
        return Check("database", "not ok", str(error), error.hint)
    if found == needed:
        return Check("database", "ok", f"at revision {found}")
    if found is None and url.startswith("sqlite"):
        return Check("database", "ok", "is not there yet")
    return Check("database", "not ok", f"at revision {found}, and {needed} is needed", "promptctl db upgrade")


def store(url: str) -> Check:
    """The store answers: it says that it has no blob which nobody put there."""
    try:
        open_store(url).get(NOTHING)
    except registry.IntegrityError:
        return Check("store", "ok", f"{url} answers")
    except registry.RegistryError as error:
        return Check("store", "not ok", str(error), error.hint)
    except Exception as error:  # noqa: BLE001 - every object store has errors of its own
        return Check("store", "not ok", f"{url} failed ({type(error).__name__})", "check PROMPTCTL_STORE_URL")
    return Check("store", "not ok", f"{url} answers anything", "check PROMPTCTL_STORE_URL")


def crashes() -> Check:
    """A process that crashes leaves no memory behind."""
    core_dumps.forbid()
    if core_dumps.forbidden():
        return Check("core dumps", "ok", "forbidden at start")
    return Check("core dumps", "not ok", "a crash would leave rows on disk", "ulimit -c 0")


def tracebacks() -> Check:
    """An unexpected error is told by its place, not with a text that may quote a row."""
    if os.environ.get("PROMPTCTL_DEBUG") == "1":
        return Check("tracebacks", "not ok", "PROMPTCTL_DEBUG=1 prints texts of errors", "unset PROMPTCTL_DEBUG")
    return Check("tracebacks", "ok", "not printed")


def ray(folder: Path) -> Check:
    """Ray is started by each command that uses it, so there is none to reach; but it must fit."""
    try:
        fitting(folder)
    except InvalidSpec as error:
        return Check("ray", "not ok", str(error), error.hint)
    return Check("ray", "not needed", "each command starts its own")


def object_store() -> Check:
    """Ray's objects lie in memory."""
    if not ray_privacy.MEMORY.is_dir():
        return Check("ray object store", "not ok", "on disk: there is no /dev/shm here", "train --workers 0")
    free = shutil.disk_usage(ray_privacy.MEMORY).free
    if free < ray_privacy.OBJECT_STORE:
        todo = "give the container more: docker run --shm-size 1g"
        return Check("ray object store", "not ok", f"on disk: {free >> 20} MiB are free in /dev/shm", todo)
    return Check("ray object store", "ok", "in memory")


def proxy(programs: Path) -> Check:
    """What `serve --production` starts its HAProxy with is installed."""
    if os.access(programs / CLOSING, os.X_OK):
        return Check("haproxy", "ok", f"{CLOSING} closes it for serve --production")
    todo = "install promptctl again; until then serve without --production"
    return Check("haproxy", "not ok", f"there is no {CLOSING} beside {sys.executable}", todo)


def doors() -> Iterator[Check]:
    """No HAProxy of some Ray that runs here is open to others."""
    todo = "serve --production closes it; of another Ray, set RAY_SERVE_HAPROXY_BINARY_PATH to promptctl-haproxy"
    for socket in open_proxies.admin_sockets():
        yield Check("haproxy's admin socket", "not ok", f"every user of this machine can steer it by {socket}", todo)
    for port in open_proxies.open_ports():
        what = open_proxies.PORTS[port]
        yield Check(f"port {port}", "not ok", f"HAProxy's {what} can be read from elsewhere", todo)


def switches() -> Iterator[Check]:
    """What every Ray is started with, whatever the environment says."""
    for switch in ray_privacy.SWITCHES:
        given = os.environ.get(switch.name, switch.value)
        over = "" if given == switch.value else f", over {given}"
        yield Check(switch.name, "ok", f"{switch.value} at start{over}; keeps off the disk: {switch.keeps_off}")
    for name, value in ray_privacy.SYSTEM.items():
        yield Check(name, "ok", f"{value} at start".lower())
