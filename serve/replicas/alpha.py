"""What Ray calls alpha: each call is here alone, and does without where this Ray has it no more."""

import asyncio
from typing import Any

ALL_S = 10.0  # in which all replicas have answered


async def broadcast(app: str, method: str) -> list[Any]:
    """What a method of each replica that is known here returns.

    Of a replica that fails there is nothing, and nothing of any where Ray cannot reach them: the caller then speaks for
    itself, and the others hear from the registry.
    """
    from ray import serve
    from ray.exceptions import RayError
    from ray.serve.exceptions import RayServeException

    try:
        handle = await asyncio.to_thread(serve.get_deployment_handle, app, app)  # which asks the controller, once
        found = await handle.broadcast(method).results_async(timeout_s=ALL_S, return_exceptions=True)
    except (AttributeError, KeyError, TypeError, RuntimeError, TimeoutError, RayError, RayServeException):
        return []
    return [one for one in found if not isinstance(one, BaseException)]
