"""One replica on Ray Serve: a process with HTTP, batcher and backbone in it."""

from collections.abc import Callable, Sequence
from typing import Any

from fastapi import FastAPI

from .. import report
from ..api import create_app
from ..config import ServeConfig
from ..engine.engine import PromptEngine
from ..errors import Unavailable
from ..feedback import actor as feedback_actor
from ..metrics.meters import RayMeter
from ..routing.push import follow
from ..schemas import Status
from . import alpha, haproxy
from .scale import Scale

APP = "promptctl"  # of the application and of its one deployment
ONGOING = 1024  # requests in a replica; beyond its queue of tokens it answers 429 itself
DRAIN_S = 40  # for what a replica still answers when it is to end


class Replica:
    """Gets requests once everything promoted is loaded and warmed; ends when what it answers is answered.

    Ray calls the methods. Errors leave it as values, because Ray writes those that are raised into its logs.
    """

    def __init__(self, configured: Callable[[], ServeConfig]) -> None:
        haproxy.check_closed()
        self._config = configured()

    def __serve_build_asgi_app__(self) -> FastAPI:
        """Ray asks for this once, and waits for the application's start."""
        self._app = create_app(self._config, feedback_actor.shared, RayMeter(), self._all_follow)
        return self._app

    async def sync(self) -> int | None:
        """Swap in what the registry says now; the epoch that is served then, None where it does not answer."""
        try:
            return await follow(self._engine)
        except Unavailable:
            return None

    async def check_health(self) -> None:
        """Ray asks now and then, and replaces a replica that says otherwise.

        Raises:
            Unavailable: it would answer no row any more.
        """
        if not self._engine.work.alive:
            raise Unavailable("the replica takes no rows any more")

    async def greeting(self) -> tuple[Status, int]:
        """How it is, and how many prompts it serves."""
        return report.status(self._engine), len(report.tasks(self._engine))

    async def _all_follow(self) -> Sequence[int]:
        found = await alpha.broadcast(APP, "sync")
        return [epoch for epoch in found if epoch is not None] or [await follow(self._engine)]

    @property
    def _engine(self) -> PromptEngine:
        return self._app.state.engine


def bound(configured: Callable[[], ServeConfig], scale: Scale) -> Any:
    """The application, for Ray Serve to run; each replica asks `configured` in its own process."""
    from ray import serve

    deploy = serve.deployment(
        name=APP,
        max_ongoing_requests=ONGOING,
        max_constructor_retry_count=1,
        graceful_shutdown_timeout_s=DRAIN_S,
        graceful_shutdown_wait_loop_s=0.2,
        logging_config=silent(),
        ray_actor_options={"num_cpus": 1, "num_gpus": _gpus(scale)},  # torch has as many threads as a replica has CPUs
        **scale.options(),
    )
    return deploy(serve.ingress()(Replica)).bind(configured)


def silent() -> Any:
    """No log: it could quote a row."""
    from ray.serve.schema import LoggingConfig

    return LoggingConfig(log_level="CRITICAL", enable_access_log=False)


def _gpus(scale: Scale) -> float:
    """A replica's share of the GPUs here."""
    import torch

    here = torch.cuda.device_count()
    return 1 / -(-scale.most // here) if here else 0
