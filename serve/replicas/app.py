"""`promptctl serve`: the application on Ray Serve, with HTTP, batcher and backbone in each replica."""

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from methods import Backbone

from .. import report
from ..config import ServeConfig
from ..edge.port import listen
from ..errors import Unavailable
from ..feedback import actor as feedback_actor
from ..routing.known import open_registry
from . import haproxy
from .environment import from_environment
from .replica import APP, bound, silent
from .scale import ONE, Scale

GREETING_S = 60


def run(
    config: ServeConfig,
    say: Callable[[str], None],
    cluster: AbstractContextManager[object],
    scale: Scale = ONE,
    production: bool = False,
) -> None:
    """Serve on `cluster` until SIGINT or SIGTERM, then finish what is running.

    `say` is told what the server waits for. In `production` HAProxy stands in front of the replicas.

    Raises:
        ServeError, RegistryError, MethodError: the address, the registry or the backbone is not to be had.
    """
    say(f"checking the registry and the backbone {config.backbone}")
    _check(config)
    say("starting Ray, about 15 seconds")
    with haproxy.in_front() if production else nullcontext(), cluster, _stopping() as stopped:
        status, prompts = deploy(config, scale).greeting.remote().result(timeout_s=GREETING_S)
        for line in report.greeting(config.url, status, prompts):
            say(line)
        stopped.wait()
        say("stopping")
        _drain()  # Ray's own processes end with the block
    say("stopped")


def build(args: dict[str, Any]) -> Any:
    """The application of a cluster, as its configuration imports it: `serve.replicas.app:build`, without arguments.

    Raises:
        ValueError: there are arguments, which Ray would keep and show.
    """
    if args:
        raise ValueError("serve.replicas.app:build takes no arguments; a replica reads PROMPTCTL_ variables")
    return bound(from_environment, ONE)


def deploy(config: ServeConfig, scale: Scale) -> Any:
    """Start the replicas, or replace those that run, some at a time; a handle to them once they answer.

    Raises:
        Unavailable: they do not start.
    """
    from ray import serve
    from ray.serve.config import HTTPOptions, ProxyLocation

    logging.getLogger("ray.serve").setLevel(logging.CRITICAL)  # importing it set its level
    serve.start(
        proxy_location=ProxyLocation.HeadOnly,
        http_options=HTTPOptions(host=config.host, port=config.port),
        logging_config=silent(),
    )
    try:
        return serve.run(bound(lambda: config, scale), name=APP, route_prefix="/", logging_config=silent())
    except RuntimeError as error:
        raise Unavailable("the replica did not start", hint="promptctl serve --local says why") from error


def _check(config: ServeConfig) -> None:
    """Meet here, where they can be told, the errors that a replica could only log."""
    listen(config).close()
    open_registry(config)[0].close()
    Backbone.load(config.backbone)


def _drain() -> None:
    from ray import serve

    serve.delete(APP)  # waits for the requests that the replicas still answer
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
