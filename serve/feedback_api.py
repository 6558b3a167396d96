"""The routes of feedback: users hand corrections in, and a trainer on the same machine borrows and settles them."""

from http import HTTPStatus
from ipaddress import ip_address
from typing import Annotated

from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse

from .desk import Desk
from .engine import PromptEngine
from .errors import Invalid, ServeError
from .failures import respond
from .feedback import Held, Lease
from .schemas import (
    FeedbackRequest,
    FeedbackResponse,
    LeasedRow,
    LeaseRequest,
    LeaseResponse,
    SettleRequest,
    SettleResponse,
)

FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip")  # what a proxy on this machine says of a client that is not


class Elsewhere(Invalid):
    """A client of another machine asks for what users wrote."""


def _desk(request: Request) -> Desk:
    return request.app.state.desk


def _from_here(request: Request) -> None:
    """Refuse clients elsewhere; also a web page, which reaches this machine under its own host's name."""
    ours = request.client is not None and _loops_back(request.client.host)
    named = request.url.hostname == "localhost" or _loops_back(request.url.hostname or "")
    if not (ours and named) or any(name in request.headers for name in FORWARDED):
        raise Elsewhere(
            "only clients on the server's own machine, at its loopback address, may borrow corrections",
            hint="run the trainer there, with PROMPTCTL_SERVER=http://127.0.0.1:PORT",
        )


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

    app.add_exception_handler(Elsewhere, _on_elsewhere)
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


def _loops_back(host: str) -> bool:
    try:
        address = ip_address(host)
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


async def _on_elsewhere(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ServeError)
    return respond(error, HTTPStatus.FORBIDDEN)
