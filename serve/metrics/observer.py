"""What the server tells of its own work while it does it: counts and seconds, never a word of a row."""

from collections.abc import Mapping
from typing import Protocol


class Observer(Protocol):
    """Who is told. Each call takes microseconds and raises nothing; seconds end when the call is made."""

    def requested(self, route: str, code: int, seconds: float) -> None:
        """A request of a route, as the application names it, was answered with that status."""
        ...

    def answered(self, rows: Mapping[str, int], seconds: float) -> None:
        """So many rows of each kind of task were answered together, that long after they came."""
        ...

    def encoded(self, rows: int, seconds: float) -> None:
        """Rows became tokens."""
        ...

    def waited(self, seconds: float) -> None:
        """A row left the queue for a batch."""
        ...

    def ran(self, rows: int, tokens: int, budget: int, seconds: float) -> None:
        """A batch went through the backbone: its rows, its padded tokens, and how many it might have had."""
        ...

    def spoke(self, tokens: int) -> None:
        """An answer was generated, of so many tokens."""
        ...

    def found(self) -> None:
        """A version was in memory when it was asked for."""
        ...

    def loaded(self, seconds: float) -> None:
        """A version was read from the store."""
        ...

    def failed(self) -> None:
        """A version could not be loaded."""
        ...


class Silent:
    """Tells nobody."""

    def requested(self, route: str, code: int, seconds: float) -> None:
        """Nothing."""

    def answered(self, rows: Mapping[str, int], seconds: float) -> None:
        """Nothing."""

    def encoded(self, rows: int, seconds: float) -> None:
        """Nothing."""

    def waited(self, seconds: float) -> None:
        """Nothing."""

    def ran(self, rows: int, tokens: int, budget: int, seconds: float) -> None:
        """Nothing."""

    def spoke(self, tokens: int) -> None:
        """Nothing."""

    def found(self) -> None:
        """Nothing."""

    def loaded(self, seconds: float) -> None:
        """Nothing."""

    def failed(self) -> None:
        """Nothing."""


SILENT = Silent()
