"""Where a run under test says what it is doing."""

from orchestrator.events import Event


class Heard:
    """A show that remembers."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.events: list[Event] = []

    def say(self, text: str) -> None:
        self.lines.append(text)

    def event(self, event: Event) -> None:
        self.events.append(event)
