"""The routes of feedback: users hand corrections in, and a trainer on the same machine borrows and settles them."""

from typing import Annotated

from fastapi import Depends, FastAPI, Request

from ..edge.nearby import Elsewhere, nearby, on_elsewhere
from ..engine.engine import PromptEngine
from ..schemas import (
    FeedbackRequest,
    FeedbackResponse,
    LeasedRow,
    LeaseRequest,
    LeaseResponse,
    SettleRequest,
    SettleResponse,
)
from .buffer import Held, Lease
from .desk import Desk

_from_here = nearby("borrow corrections", "run the trainer there, with PROMPTCTL_SERVER=http://127.0.0.1:PORT")


def _desk(request: Request) -> Desk:
    return request.app.state.desk


TheDesk = Annotated[Desk, Depends(_desk)]


def add_to(app: FastAPI, new_labels: bool) -> None:
    """Add the routes; where `new_labels` is false, a correction may only name labels that its task has."""

    async def feedback(body: FeedbackRequest, request: Request, desk: TheDesk) -> FeedbackResponse:
        """Hold a correction in memory until it is learned or its time is up."""
        engine: PromptEngine = request.app.state.engine
        receipt = await desk.accept(await engine.correction(body, new_labels))
        until = f"{receipt.held_until:%Y-%m-%dT%H:%M:%SZ}"
        message = f"accepted, held in memory until {until} and written nowhere"
        return FeedbackResponse(held_until=receipt.held_until, message=message, waiting=receipt.waiting)

    app.add_exception_handler(Elsewhere, on_elsewhere)
    app.post("/v1/feedback")(feedback)
    app.post("/v1/feedback/lease", dependencies=[Depends(_from_here)])(lease)
    app.post("/v1/feedback/settle", dependencies=[Depends(_from_here)])(settle)


async def lease(body: LeaseRequest, desk: TheDesk) -> LeaseResponse:
    """Lend the oldest corrections of a prompt."""
    lent = await desk.lease(body.prompt, body.limit, body.per_label)
    return _said(lent) if lent else LeaseResponse(lease=None, until=None, rows=[])


async def settle(body: SettleRequest, desk: TheDesk) -> SettleResponse:
    """End a lease: what was learned or dropped is forgotten, what is returned waits on."""
    return SettleResponse(rows=await desk.settle(body.lease, body.outcome))


def _said(lent: Lease) -> LeaseResponse:
    rows = [_row(held) for held in lent.rows if held.correction.fields]
    return LeaseResponse(lease=lent.id, until=lent.until, rows=rows)


def _row(held: Held) -> LeasedRow:
    said = held.correction
    return LeasedRow(**said.fields, label=said.label, version=said.version, held_until=held.until)
