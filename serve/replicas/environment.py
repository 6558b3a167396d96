"""What a replica is told where nobody starts it by hand: variables of its process, which a cluster keeps secret."""

import os
from pathlib import Path

from methods import DEFAULT_BACKBONE

from ..config import ServeConfig
from ..errors import Invalid


def from_environment() -> ServeConfig:
    """The PROMPTCTL_ variables of this process; others can reach it, so that requests need tokens.

    Raises:
        Invalid: it is not said where the registry is.
    """
    home = os.environ.get("PROMPTCTL_HOME")
    return ServeConfig(
        database_url=_needed("PROMPTCTL_DATABASE_URL"),
        store_url=_needed("PROMPTCTL_STORE_URL"),
        backbone=os.environ.get("PROMPTCTL_BACKBONE") or DEFAULT_BACKBONE,
        host="0.0.0.0",
        port=8000,
        new_labels=os.environ.get("PROMPTCTL_NEW_LABELS", "true").lower() in ("1", "true", "yes", "on"),
        known=Path(home) / "known" if home else None,
        require_signed=_words("PROMPTCTL_REQUIRE_SIGNED"),
        trusted_keys=_words("PROMPTCTL_TRUSTED_KEYS"),
    )


def _words(name: str) -> tuple[str, ...]:
    return tuple(os.environ.get(name, "").replace(",", " ").split())


def _needed(name: str) -> str:
    if value := os.environ.get(name):
        return value
    raise Invalid(f"{name} is not set", hint="a cluster's replicas read it from their own environment")
