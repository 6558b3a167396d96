"""Telling a running server that an alias has moved, so that it follows at once and not with its next look."""

import os

import httpx

from registry.roles import NEEDED

from .settings import Settings

TIMEOUT = httpx.Timeout(10, connect=0.5)  # seconds; a server loads and tries a version before it answers


def announce(settings: Settings) -> str | None:
    """What to say of the server; nothing where none answers and none was named.

    Whatever it answers, it follows by itself within a second.
    """
    token = os.environ.get("PROMPTCTL_TOKEN")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        with httpx.Client(timeout=TIMEOUT, trust_env=False, headers=headers) as http:
            response = http.post(f"{settings.server.rstrip('/')}/v1/sync")
            epochs = response.raise_for_status().json()["epochs"]
            slowest = min(epochs)
    except httpx.HTTPStatusError as error:
        status = error.response.status_code
        takes = f", which takes a {NEEDED['follow']}'s PROMPTCTL_TOKEN" if status in (401, 403) else ""
        return f"{settings.server} follows within a second; asked to at once, it answered {status}{takes}"
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError):
        named = "server" in settings.model_fields_set
        return f"{settings.server} did not answer; it follows within a second of its return" if named else None
    replicas = "" if len(epochs) == 1 else f" on all {len(epochs)} replicas"
    return f"{settings.server} serves epoch {slowest}{replicas}"
