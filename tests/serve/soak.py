"""Everything that servers are asked for, mixed and again and again; what has grown when all is quiet again is a leak.

`python -m tests.serve.soak [MINUTES]` soaks for 10 minutes, prints what it saw as JSON, and fails if something grew.
"""

import asyncio
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import asdict
from itertools import cycle
from pathlib import Path

import httpx
import uvicorn

from methods import Backbone
from registry import Move, Registry
from serve.api import create_app
from serve.config import ServeConfig
from serve.edge.connection import Connection
from tests.backbones import tiny_bert
from tests.published import published, soft

from .leaks import Quiet, Soaked, quiet

PROMPTS = ("sentiment", "topic", "mood")
ROW = {"prompt": "sentiment", "text": "the film was very good"}
PHASE_S = 5.0
FEWEST = 8  # phases; the first one warms up
LOOP_THREADS = 32  # the most that a loop makes for itself


@contextmanager
def world(home: Path) -> Iterator[tuple[ServeConfig, Registry]]:
    """A registry of two versions of three prompts for a tiny backbone."""
    folder = tiny_bert(home / "tiny")
    config = ServeConfig(f"sqlite:///{home}/registry.db", f"{home}/store", str(folder), "127.0.0.1", 0)
    with closing(Registry.open(config.database_url, config.store_url)) as registry:
        backbone = Backbone.load(config.backbone)
        for name in PROMPTS:
            for value in (0.5, -0.5):
                published(registry, backbone, name, soft(value), head=value)
        registry.promote([Move(f"{name}:1") for name in PROMPTS], actor="ada")
        yield config, registry


async def soak(config: ServeConfig, registry: Registry, seconds: float) -> Soaked:
    """Ask a server of this process, on a port of its own, for so long."""
    statuses: Counter[int] = Counter()
    # the loop's own threads come as they are needed and stay; let all of them come before anything is counted
    await asyncio.gather(*(asyncio.to_thread(time.sleep, 0.1) for _ in range(LOOP_THREADS)))
    async with _server(config) as url:
        count = max(FEWEST, round(seconds / PHASE_S))
        phases = [await _phase(url, registry, statuses, seconds / count) for _ in range(count)]
    return Soaked(statuses, phases)


@asynccontextmanager
async def _server(config: ServeConfig) -> AsyncIterator[str]:
    app = create_app(config)
    settings = uvicorn.Config(app, http=Connection, ws="none", port=0, log_config=None, log_level="critical")
    server = uvicorn.Server(settings)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield "http://{}:{}".format(*server.servers[0].sockets[0].getsockname())
    finally:
        server.should_exit = True
        await serving


async def _phase(url: str, registry: Registry, statuses: Counter[int], seconds: float) -> Quiet:
    """Ask for so long, then let go of all connections and look."""
    ends = time.monotonic() + seconds
    async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as http:

        async def again(ask: Callable[[], Awaitable[int]]) -> None:
            while time.monotonic() < ends:
                statuses[await ask()] += 1

        await asyncio.gather(*(again(ask) for ask in _asked(http, registry)))
    return await quiet(httpx.URL(url).port, statuses.total())


def _asked(http: httpx.AsyncClient, registry: Registry) -> list[Callable[[], Awaitable[int]]]:
    """Right questions, wrong ones, those whose caller goes away, corrections, and promotions meanwhile."""
    mixed = [
        {"prompt": f"{name}{which}", "text": "the film was good"} for name in PROMPTS for which in ("", ":1", ":2")
    ]
    answered = [
        ("/v1/predict", json.dumps({"inputs": mixed}).encode()),
        ("/v1/predict", json.dumps(ROW).encode()),
        ("/v1/predict", json.dumps(ROW | {"prompt": "nobody"}).encode()),
        ("/v1/predict", json.dumps(ROW | {"extra": 1}).encode()),
        ("/v1/predict", b"{" * 1000),
        ("/v1/predict", b" " * (1 << 21)),
        ("/v1/sync", b""),
    ]
    turns, numbers = [0], cycle((2, 1))  # of an odd number of prompts, so that each moves every time

    async def posts() -> int:
        turns[0] += 1
        path, body = answered[turns[0] % len(answered)]
        return (await http.post(path, content=body, headers={"content-type": "application/json"})).status_code

    async def gets() -> int:
        path = ("/v1/status", "/v1/tasks", "/metrics", "/healthz", "/v2/models/sentiment", "/nothing")[turns[0] % 6]
        return (await http.get(path)).status_code

    async def leaves() -> int:
        body = json.dumps({"inputs": mixed}).encode()
        head = f"POST /v1/predict HTTP/1.1\r\nhost: a\r\ncontent-length: {len(body)}\r\n\r\n".encode()
        _, writer = await asyncio.open_connection(http.base_url.host, http.base_url.port)
        writer.write((head + body)[: len(head) + (len(body) if turns[0] % 2 else 7)])
        await writer.drain()
        writer.close()
        await asyncio.sleep(0.01)
        return 0

    async def corrects() -> int:
        await http.post("/v1/feedback", json=ROW | {"label": "negative"})
        lease = (await http.post("/v1/feedback/lease", json={"prompt": "sentiment"})).json()["lease"]
        settled = await http.post("/v1/feedback/settle", json={"lease": lease, "outcome": "learned"})
        await asyncio.sleep(0.2)
        return settled.status_code

    async def promotes() -> int:
        moves = [Move(f"{name}:{next(numbers)}") for name in PROMPTS]
        await asyncio.to_thread(registry.promote, moves, actor="ada")
        await asyncio.sleep(0.1)
        return 0

    return [posts, posts, posts, posts, gets, leaves, corrects, promotes]


def main(minutes: float) -> int:
    """Soak, print, and say whether something grew."""
    with tempfile.TemporaryDirectory() as home, world(Path(home)) as (config, registry):
        soaked = asyncio.run(soak(config, registry, 60 * minutes))
    slope, error = soaked.slope
    seen = {"statuses": soaked.statuses, "first": asdict(soaked.phases[1]), "last": asdict(soaked.phases[-1])}
    seen |= {"bytes_of_a_request": round(slope), "standard_error": round(error), "grown": soaked.leaks()}
    sys.stdout.write(json.dumps(seen) + "\n")
    return 1 if soaked.leaks() else 0


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]) if sys.argv[1:] else 10.0))
