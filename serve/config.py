"""What a server is told before it starts."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class ServeConfig:
    """Where the registry is, which backbone to load, where to listen, and where Ray keeps its files."""

    database_url: str = field(repr=False)  # it may hold a password
    store_url: str = field(repr=False)
    backbone: str
    host: str
    port: int
    ray_dir: Path
    home: Path

    @property
    def url(self) -> str:
        """Where the server answers."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"
