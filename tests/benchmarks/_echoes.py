"""Two echoes in one Ray Serve: a bare application, and the same route in ours, behind all that stands before a route.

`python -m tests.benchmarks._echoes PORT` under a PROMPTCTL_HOME of its own says by a line of JSON that both answer, and
ends with its input. HAProxy is in front where there is one.
"""

import json
import logging
import sys
from contextlib import ExitStack
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from orchestrator.cluster import started
from orchestrator.settings import Settings
from registry.tokens import Tokens
from serve.config import ServeConfig
from serve.errors import Unavailable
from serve.replicas import haproxy
from serve.replicas.replica import ONGOING, Replica, silent
from tests.backbones import tiny_bert

EVERYWHERE = "0.0.0.0"  # what our application takes itself to listen on, so that it asks for a token
CPUS = 4


class Said(BaseModel):
    text: str


async def echo(body: Said) -> Said:
    return body


def bare() -> FastAPI:
    app = FastAPI()
    app.post("/v1/echo")(echo)
    return app


class Echo(Replica):
    def __serve_build_asgi_app__(self) -> FastAPI:
        app = super().__serve_build_asgi_app__()
        app.post("/v1/echo")(echo)
        app.router.routes.insert(0, app.router.routes.pop())  # where /v1/predict is, among the first
        return app


def main(port: int) -> None:
    settings, said = Settings(), sys.stdout  # which is another one while Ray runs
    backbone = str(tiny_bert(settings.home / "tiny"))
    config = ServeConfig(settings.database_url, settings.store_url, backbone, EVERYWHERE, port)
    tokens = Tokens.open(config.database_url)
    _, token = tokens.create("bench", "admin", actor="bench")
    tokens.close()
    with ExitStack() as stack:
        try:
            stack.enter_context(haproxy.in_front())
            ingress = "HAProxy"
        except Unavailable:
            ingress = "Ray's proxy"
        stack.enter_context(started(settings.home, CPUS))
        _deploy(config)
        said.write(json.dumps({"token": token, "ingress": ingress}) + "\n")
        said.flush()
        sys.stdin.read()


def _deploy(config: ServeConfig) -> None:
    from ray import serve
    from ray.serve.config import HTTPOptions, ProxyLocation

    logging.getLogger("ray.serve").setLevel(logging.CRITICAL)  # importing it set its level
    options: dict[str, Any] = {"max_ongoing_requests": ONGOING, "logging_config": silent()}
    serve.start(
        proxy_location=ProxyLocation.HeadOnly,
        http_options=HTTPOptions(host="127.0.0.1", port=config.port),
        logging_config=silent(),
    )
    ours = serve.deployment(name="ours", **options)(serve.ingress()(Echo)).bind(lambda: config)
    without = serve.deployment(name="bare", **options)(serve.ingress(bare)()).bind()
    serve.run(ours, name="ours", route_prefix="/ours", logging_config=silent())
    serve.run(without, name="bare", route_prefix="/bare", logging_config=silent())


if __name__ == "__main__":
    main(int(sys.argv[1]))
