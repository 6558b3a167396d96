"""`promptctl serve`: the application on Ray Serve, with HTTP, batcher and backbone in one replica."""

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from fastapi import FastAPI

from methods import Backbone
from registry import Registry

from . import feedback_actor, report
from .api import create_app
from .client import Client
from .config import ServeConfig
from .errors import Unavailable
from .port import listen
from .schemas import Status

APP = "promptctl"
ONGOING = 1024  # requests in the replica; beyond its queue of tokens it answers 429 itself


def run(config: ServeConfig, say: Callable[[str], None], cluster: AbstractContextManager[object]) -> None:
    """Serve on `cluster` until SIGINT or SIGTERM, then finish what is running.

    `say` is told what the server waits for.

    Raises:
        ServeError, RegistryError, MethodError: the address, the registry or the backbone is not to be had.
    """
    say(f"checking the registry and the backbone {config.backbone}")
    _check(config)
    say("starting Ray, about 15 seconds")
    with cluster, _stopping() as stopped:
        _deploy(config)
        client = Client(config.url)
        for line in report.greeting(config.url, Status(**client.status()), len(client.tasks())):
            say(line)
        stopped.wait()
        say("stopping")
        _drain()  # Ray's own processes end with the block
    say("stopped")


def _check(config: ServeConfig) -> None:
    """Meet here, where they can be told, the errors that a replica could only log."""
    listen(config).close()
    Registry.open(config.database_url, config.store_url).close()
    Backbone.load(config.backbone)


def _deploy(config: ServeConfig) -> None:
    from ray import serve
    from ray.serve.config import HTTPOptions, ProxyLocation
    from ray.serve.schema import LoggingConfig

    logging.getLogger("ray.serve").setLevel(logging.CRITICAL)  # importing it set its level
    silent = LoggingConfig(log_level="CRITICAL", enable_access_log=False)

    def application() -> FastAPI:
        return create_app(config, feedback_actor.shared)

    deploy = serve.deployment(
        name=APP, max_ongoing_requests=ONGOING, max_constructor_retry_count=1, logging_config=silent
    )
    serve.start(
        proxy_location=ProxyLocation.HeadOnly,
        http_options=HTTPOptions(host=config.host, port=config.port),
        logging_config=silent,
    )
    try:
        serve.run(deploy(serve.ingress(application)()).bind(), name=APP, route_prefix="/", logging_config=silent)
    except RuntimeError as error:
        raise Unavailable("the replica did not start", hint="promptctl serve --local says why") from error


def _drain() -> None:
    from ray import serve

    serve.delete(APP)  # waits for the requests that the replica still answers
    feedback_actor.close()


@contextmanager
def _stopping() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set."""
    asked = threading.Event()
    before = {n: signal.signal(n, lambda *_: asked.set()) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
