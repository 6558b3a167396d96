"""A process that shares a desk on Ray between two replicas, kills its actor, and prints what it saw as JSON.

`python shared_desk.py HOME DATABASE_URL STORE_URL`; its corrections say CANARY.
"""

import asyncio
import json
import os
import sys
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil

from orchestrator.cluster import started
from registry import Registry
from serve.config import ServeConfig
from serve.errors import NotFound, ServeError, Unavailable
from serve.feedback.actor import NAME, SharedDesk, close
from serve.feedback.correction import Correction

CANARY = "zebrafinch-7719"
LARGE = 60_000  # characters: three of them are more than Ray passes by value


def main(home: Path, config: ServeConfig) -> None:
    with closing(Registry.open(config.database_url, config.store_url)) as registry:
        version = registry.resolve("sentiment:1")
        said = {"text": CANARY + "a" * LARGE}
        correction = Correction("sentiment", version.reference, version.id, said, "negative")
        with started(home, 2):
            seen = asyncio.run(_seen(config, correction))
            close()
            close()
            session = [path for path in (home / "ray").rglob("*") if path.is_file()]
            seen["written"] = [str(path) for path in session if CANARY.encode() in path.read_bytes()]
            seen["files"] = len(session)
        seen["totals"] = [asdict(total) | {"last_at": ""} for total in registry.feedback()]
    sys.stdout.write(json.dumps(seen))


async def _seen(config: ServeConfig, correction: Correction) -> dict[str, Any]:
    import ray

    first, second = SharedDesk(config), SharedDesk(config)
    seen: dict[str, Any] = {"waiting": []}
    for desk in (first, second, first, second):
        seen["waiting"].append((await desk.accept(correction)).waiting)
    lease = await second.lease("sentiment", 3)
    assert lease is not None
    seen["lent"] = [len(held.correction.fields["text"]) for held in lease.rows]
    seen["settled"] = [await first.settle(lease.id, "learned"), await second.settle(lease.id, "learned")]
    seen["unknown"] = await _raised(NotFound, first.settle("other", "learned"))
    actor: Any = ray.get_actor(NAME, namespace=NAME)
    process = psutil.Process(await actor.__ray_call__.remote(lambda holder: os.getpid()))
    process.kill()
    process.wait(10)  # a call that still reached it would be counted as accepted and lost
    seen["dead"] = await _raised(Unavailable, second.accept(correction))
    seen["again"] = (await second.accept(correction)).waiting
    status = await first.status()
    seen["status"] = [status.accepted, status.waiting, status.learned, status.lost, status.uncounted]
    return seen


async def _raised(kind: type[ServeError], asked: Any) -> str:
    try:
        await asked
    except kind as error:
        return str(error)
    return "nothing"


if __name__ == "__main__":
    folder, database_url, store_url = sys.argv[1:]
    main(Path(folder), ServeConfig(database_url, store_url, "", "127.0.0.1", 8000))
