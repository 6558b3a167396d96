"""What a server says of itself."""

from collections.abc import Iterator

from methods import Task

from .engine import PromptEngine
from .fields import FIELDS
from .schemas import FeedbackStatus, Refused, Status, TaskInfo


def status(engine: PromptEngine, feedback: FeedbackStatus | None = None) -> Status:
    """How the engine is, and what it holds of corrections."""
    follower = engine.follower
    snapshot, since = follower.snapshot, follower.stale_since
    refused = [
        Refused(
            prompt=name,
            alias=alias,
            version=refusal.version.reference,
            reason=refusal.reason,
            serving=kept.version.reference if (kept := snapshot.served.get((name, alias))) else None,
        )
        for (name, alias), refusal in sorted(snapshot.refused.items())
    ]
    return Status(
        ready=snapshot.epoch >= 0,
        epoch=snapshot.epoch,
        backbone=engine.backbone.fingerprint.to_json(),
        stale_since=since and since.isoformat(),
        stale_reason=follower.stale_reason,
        refused=refused,
        waiting_tokens=engine.batcher.waiting_tokens,
        resident_bytes=engine.bank.nbytes,
        feedback=feedback,
    )


def tasks(engine: PromptEngine) -> list[TaskInfo]:
    """Every prompt that an alias names, by name."""
    aliases: dict[str, dict[str, str]] = {}
    newest: dict[str, Task] = {}
    for (name, alias), served in sorted(engine.follower.snapshot.served.items()):
        aliases.setdefault(name, {})[alias] = served.version.reference
        newest[name] = newest[name] if alias != "production" and name in newest else served.task
    return [
        TaskInfo(
            prompt=name,
            kind=task.kind,
            labels=list(task.labels),
            fields=list(FIELDS[task.kind].needed),
            optional=list(FIELDS[task.kind].optional),
            aliases=aliases[name],
        )
        for name, task in newest.items()
    ]


def greeting(url: str, said: Status, prompts: int) -> Iterator[str]:
    """What to tell the person who started the server."""
    yield f"promptctl serves on {url} ({prompts} prompt{'' if prompts == 1 else 's'}, epoch {said.epoch})"
    for one in said.refused:
        instead = f"{one.serving} answers instead" if one.serving else "nothing answers instead"
        yield f"{one.prompt}@{one.alias} is not served: {one.version}: {one.reason}; {instead}"
