"""What a server is told before it starts."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class ServeConfig:
    """Where the registry is, which backbone to load, and where to listen."""

    database_url: str = field(repr=False)  # it may hold a password
    store_url: str = field(repr=False)
    backbone: str
    host: str
    port: int

    @property
    def url(self) -> str:
        """Where the server answers."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"
