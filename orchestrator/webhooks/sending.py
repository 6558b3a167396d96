"""One message over HTTP, signed as Standard Webhooks say (https://www.standardwebhooks.com).

`webhook-signature` is `v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`. The id is the same in every
attempt, so a receiver that keeps the ids it has seen takes a message once; the timestamp is the attempt's.
"""

import asyncio
import hmac
import ssl
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from hashlib import sha256
from typing import TypeAlias
from uuid import uuid4

import httpcore
from httpcore import AsyncConnectionPool

from registry.webhooks.outbox import Outcome, written

from .addresses import Forbidden, Guarded, Network

DEADLINE_S = 15.0  # of one attempt, whatever the receiver does in it

Pool: TypeAlias = AsyncConnectionPool


@asynccontextmanager
async def connections(allowed: Sequence[Network]) -> AsyncIterator[Pool]:
    """Connections to whom may be told; through no proxy, which would choose the address itself."""
    backend = Guarded(allowed)
    context = ssl.create_default_context()
    async with AsyncConnectionPool(context, network_backend=backend, max_keepalive_connections=0) as pool:
        yield pool


async def send(pool: Pool, url: str, delivery: str, body: str, secret: bytes) -> Outcome:
    """Tell once, and follow no redirect; what came of it, whatever that is."""
    content = body.encode()
    headers = signed(delivery, int(time.time()), content, secret)
    try:
        async with asyncio.timeout(DEADLINE_S), pool.stream("POST", url, headers=headers, content=content) as answer:
            status = answer.status  # what else it says is not read
    except Forbidden:
        return Outcome(fault="not a public address")
    except (TimeoutError, httpcore.TimeoutException):
        return Outcome(fault="timed out")
    except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.UnsupportedProtocol, OSError) as error:
        return Outcome(fault=type(error).__name__)
    return Outcome(status, "" if 200 <= status < 300 else f"answered {status}")


def ping(url: str, secret: bytes, actor: str, allowed: Sequence[Network]) -> Outcome:
    """Tell an address that it is told."""

    async def main() -> Outcome:
        delivery = uuid4().hex
        async with connections(allowed) as pool:
            return await send(
                pool, url, delivery, written(delivery, "ping", {"actor": actor}, datetime.now(UTC)), secret
            )

    return asyncio.run(main())


def signed(delivery: str, timestamp: int, body: bytes, secret: bytes) -> list[tuple[str, str]]:
    """The headers of a message."""
    message = b"%s.%d.%s" % (delivery.encode(), timestamp, body)
    signature = b64encode(hmac.new(secret, message, sha256).digest()).decode()
    return [
        ("content-type", "application/json"),
        ("user-agent", "promptctl"),
        ("webhook-id", delivery),
        ("webhook-timestamp", str(timestamp)),
        ("webhook-signature", f"v1,{signature}"),
    ]
