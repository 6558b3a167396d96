"""What a server says of itself."""

from collections.abc import Iterator

from methods import Task

from .engine.engine import PromptEngine
from .engine.fields import FIELDS
from .schemas import FeedbackStatus, Refused, SplitStatus, Status, TaskInfo, Traffic


def status(engine: PromptEngine, feedback: FeedbackStatus | None = None, traffic: Traffic | None = None) -> Status:
    """How the engine is, what it holds of corrections, and what was asked of it."""
    follower = engine.follower
    snapshot, since = follower.snapshot, follower.stale_since
    refused = [
        Refused(
            prompt=refusal.alias[0],
            alias=refusal.alias[1],
            version=refusal.version.reference,
            reason=refusal.reason,
            serving=kept.version.reference if (kept := snapshot.served.get(refusal.alias)) else None,
            candidate=refusal.candidate,
        )
        for refusal in sorted(follower.refused, key=lambda refusal: (refusal.alias, refusal.candidate))
    ]
    return Status(
        ready=snapshot.epoch >= 0 and bool(snapshot.served or not snapshot.refused),
        epoch=snapshot.epoch,
        backbone=engine.backbone.fingerprint.to_json()
        | ({} if engine.agreement is None else {"agreement": str(engine.agreement)}),
        stale_since=since and since.isoformat(),
        stale_reason=follower.stale_reason,
        refused=refused,
        splits=list(_splits(engine)),
        waiting_tokens=engine.waiting_tokens,
        resident_bytes=engine.bank.nbytes,
        feedback=feedback,
        traffic=traffic,
    )


def _splits(engine: PromptEngine) -> Iterator[SplitStatus]:
    snapshot = engine.follower.snapshot
    for alias, split in sorted(snapshot.splits.items(), key=lambda item: item[0]):
        stable, candidate = snapshot.served[alias].version, split.candidate.version
        so_far = engine.shadows.comparison(stable, candidate)
        n = so_far.compared
        yield SplitStatus(
            prompt=alias[0],
            alias=alias[1],
            stable=stable.reference,
            candidate=candidate.reference,
            percent=split.percent,
            compared=n,
            agreement=so_far.agreed / n if n else None,
            distance=so_far.distance / n if n else None,
            failed=so_far.failed,
            dropped=so_far.dropped,
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
    if "agreement" in said.backbone:
        yield said.backbone["agreement"]
    if said.stale_since is not None:
        yield f"the registry does not answer ({said.stale_reason}); served is what was known of it last"
    for one in said.refused:
        instead = f"{one.serving} answers instead" if one.serving else "nothing answers instead"
        yield f"{one.prompt}@{one.alias} is not served: {one.version}: {one.reason}; {instead}"
