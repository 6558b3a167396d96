"""What a server is told before it starts."""

import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class ServeConfig:
    """Where the registry is, which backbone to load, where to listen, and which corrections to take."""

    database_url: str = field(repr=False)  # it may hold a password
    store_url: str = field(repr=False)
    backbone: str
    host: str
    port: int
    new_labels: bool = True  # whether a correction may name a label that its task does not have
    actor: str = "serve"  # who counts corrections in the registry
    machine: str = field(default_factory=socket.gethostname)
    known: Path | None = None  # a folder for what was served last, to start from while the registry is down
    quantize: Literal["int8"] | None = None  # the backbone's linear layers, on a CPU
    require_signed: tuple[str, ...] = ()  # patterns of prompts of which nothing unsigned is served
    trusted_keys: tuple[str, ...] = ()  # the public keys whose signatures count; else all that the registry knows
    deadline_s: float = 30.0  # how long a row waits before it is given up

    @property
    def url(self) -> str:
        """Where the server answers."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    @property
    def server(self) -> str:
        """Which server this is: whoever listens there later is its successor."""
        return f"{self.machine} {self.url}"
