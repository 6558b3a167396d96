"""An engine, from what a server is told to one that answers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from functools import partial

import torch

from methods import Backbone
from methods.runtime.precision import lower

from ..config import ServeConfig
from ..metrics.observer import SILENT, Observer
from ..routing.known import open_registry
from ..routing.signed import Required
from .agreement import agreement, probed
from .engine import PromptEngine


@asynccontextmanager
async def opened(config: ServeConfig, observer: Observer = SILENT) -> AsyncIterator[PromptEngine]:
    """An engine for the time of the block, its first snapshot loaded, checked and warmed."""
    registry, known = await asyncio.to_thread(open_registry, config)
    with closing(registry):
        device = "cuda" if torch.cuda.is_available() else "cpu"
        backbone = await asyncio.to_thread(Backbone.load, config.backbone, device)
        if device == "cuda":
            lower(backbone, "bfloat16")
        engine = partial(
            PromptEngine,
            backbone,
            registry,
            deadline_s=config.deadline_s,
            known=known,
            required=Required(config.require_signed, config.trusted_keys),
            observer=observer,
        )
        if config.quantize is None:
            async with _started(engine()) as whole:
                yield whole
            return
        async with _started(engine()) as whole:
            before = await probed(whole)
        await asyncio.to_thread(lower, backbone, config.quantize)
        async with _started(engine()) as lowered:  # nothing that the other one computed and kept is in it
            lowered.agreement = agreement(before, await probed(lowered))
            yield lowered


@asynccontextmanager
async def _started(engine: PromptEngine) -> AsyncIterator[PromptEngine]:
    try:
        await engine.follower.start()
        yield engine
    finally:
        await engine.close()
