"""Where things are kept: read from the environment, with defaults under one home folder."""

import getpass
from pathlib import Path
from typing import Annotated, Any, TypeAlias

from platformdirs import user_data_path
from pydantic import AliasChoices, BeforeValidator, Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from .errors import InvalidSpec
from .specs import faults


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user id need not have a name
        return "unknown"


def _under_home(pattern: str) -> Any:
    return Field(default_factory=lambda values: pattern.format(home=values.get("home", "")))


def _words(value: object) -> object:
    return tuple(value.replace(",", " ").split()) if isinstance(value, str) else value


Words: TypeAlias = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_words)]  # with spaces or commas between them


class Settings(BaseSettings):
    """PROMPTCTL_HOME, PROMPTCTL_DATABASE_URL, PROMPTCTL_STORE_URL, PROMPTCTL_BACKBONE and the like."""

    model_config = SettingsConfigDict(env_prefix="PROMPTCTL_", env_ignore_empty=True, frozen=True)

    home: Path = Field(default_factory=lambda: user_data_path("promptctl"))
    database_url: str = _under_home("sqlite:///{home}/registry.db")
    store_url: str = _under_home("{home}/store")
    backbone: str | None = None
    policy: Path | None = None  # the file with the rules of promotions, instead of those in promptctl.toml
    tracking_uri: str = Field(
        default_factory=lambda values: f"sqlite:///{values.get('home', '')}/mlflow.db",
        validation_alias=AliasChoices("tracking_uri", "PROMPTCTL_TRACKING_URI", "MLFLOW_TRACKING_URI"),
    )
    checkpoint_s: float = Field(default=15.0, gt=0)  # seconds between two checkpoints of a run
    server: str = "http://127.0.0.1:8000"
    new_labels: bool = True  # whether a correction may name a label that its task does not have
    actor: str = Field(default_factory=_user)
    signing_key: str | None = None  # the name or file of the private key that signs what is published
    require_signed: Words = ()  # patterns of prompts of which a server serves nothing unsigned
    trusted_keys: Words = ()  # the public keys whose signatures count; else all that the registry knows
    webhook_networks: Words = ()  # private networks that webhooks may reach, as 10.0.0.0/8

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise InvalidSpec(f"settings: {faults(error)}", hint="see the PROMPTCTL_ variables") from None

    @field_validator("home")
    @classmethod
    def _home_is_absolute(cls, home: Path) -> Path:
        return home.expanduser().absolute()

    @property
    def keys(self) -> Path:
        """Where private keys are kept."""
        return self.home / "keys"

    @property
    def runs(self) -> Path:
        """Where runs keep their checkpoints."""
        return self.home / "runs"
