"""`promptctl webhook`: who is told when aliases move and versions are published."""

from typing import TYPE_CHECKING

import click

from .options import output_option
from .output import Listing, plain, show, show_one

if TYPE_CHECKING:
    from registry.webhooks.outbox import Delivery, Outcome

COLUMNS = ("name", "url", "delivered", "waiting", "attempts", "fault", "created_by", "created_at")


@click.group()
def webhook() -> None:
    """Tell others when aliases move and versions are published.

    A message is put in line in the transaction of what it tells, and sent by `promptctl webhook deliver`, at
    least once: a receiver keeps the ids that it has seen. It holds names, numbers, digests and the actor, and is
    signed as Standard Webhooks say (webhook-id, webhook-timestamp, webhook-signature). Private addresses are
    not told, unless PROMPTCTL_WEBHOOK_NETWORKS allows their network.

    \b
    promptctl webhook create ops --url https://ops.example.org/prompts
    promptctl webhook deliver --watch
    """


@webhook.command()
@click.argument("name")
@click.option("--url", required=True, metavar="URL", help="Where messages are posted.")
@output_option
def create(name: str, url: str, output: str) -> None:
    """Add an address, and print its secret, this once.

    The registry keeps the secret sealed: what opens it is webhook.key in the home, a file of its owner's (0600)
    that every machine needs on which `promptctl webhook deliver` runs.

    \b
    promptctl webhook create ops --url https://ops.example.org/prompts
    """
    from ..access import opened
    from ..settings import Settings
    from ..webhooks.addresses import check_url, networks
    from ..webhooks.seal import Seal, new_secret

    settings = Settings()
    check_url(url, networks(settings.webhook_networks))
    secret = new_secret()
    with opened(settings) as registry:
        sealed = Seal.made(settings.home).close(secret)
        made = registry.webhooks.create(name, url, sealed, actor=settings.actor)
    click.echo(f"{made.name} is told from now on; its secret is shown only now", err=True)
    if output == "table":
        click.echo(secret)
    else:
        show_one("webhook", plain(made) | {"secret": secret}, output)


@webhook.command("list")
@output_option
def list_webhooks(output: str) -> None:
    """List who is told, and how many messages wait.

    \b
    promptctl webhook list
    """
    from ..access import opened
    from ..settings import Settings

    with opened(Settings()) as registry:
        show(Listing("webhooks", [plain(one) for one in registry.webhooks.all()], COLUMNS), output)


@webhook.command()
@click.argument("name")
@output_option
def delete(name: str, output: str) -> None:
    """Tell an address nothing any more, not even what waits.

    \b
    promptctl webhook delete ops
    """
    from ..access import opened
    from ..settings import Settings

    with opened(Settings()) as registry:
        show_one("webhook", registry.webhooks.delete(name), output)


@webhook.command()
@click.argument("name")
@output_option
def test(name: str, output: str) -> None:
    """Send an address a message of the type `ping` now.

    The exit code is 7 where it is not taken.

    \b
    promptctl webhook test ops
    """
    from ..access import opened
    from ..settings import Settings
    from ..webhooks.addresses import networks
    from ..webhooks.errors import NotDelivered
    from ..webhooks.seal import Seal
    from ..webhooks.sending import ping

    settings = Settings()
    with opened(settings) as registry:
        url, sealed = registry.webhooks.address(name)
    secret = Seal.of(settings.home).open(sealed)
    outcome = ping(url, secret, settings.actor, networks(settings.webhook_networks))
    if not outcome.delivered:
        raise NotDelivered(f"{name} did not take the message: {outcome.fault}", hint="promptctl webhook list")
    show_one("webhook", {"name": name, "url": url, "status": outcome.status}, output)


@webhook.command()
@click.option("--once", "how", flag_value="once", default="once", help="Send what is due, and end; the default.")
@click.option("--watch", "how", flag_value="watch", help="Go on until interrupted.")
def deliver(how: str) -> None:
    """Send what waits, each message at least once.

    One that is not taken waits 1 to 2 seconds, then twice as long each time, up to an hour. Several that deliver
    side by side share the work.

    \b
    promptctl webhook deliver
    promptctl webhook deliver --watch
    """
    from ..access import opened
    from ..settings import Settings
    from ..webhooks.addresses import networks
    from ..webhooks.delivering import Deliverer
    from ..webhooks.seal import Seal

    settings = Settings()
    allowed = networks(settings.webhook_networks)
    with opened(settings) as registry:
        if how == "once" and not registry.webhooks.all():
            return
        deliverer = Deliverer(registry.webhooks, Seal.of(settings.home), allowed)
        if how == "watch":
            deliverer.watch(_say)
        else:
            deliverer.once(_say)


def _say(delivery: "Delivery", outcome: "Outcome") -> None:
    said = "delivered" if outcome.delivered else f"not delivered: {outcome.fault}"
    click.echo(f"{delivery.webhook} {delivery.id} attempt {delivery.attempt}: {said}", err=True)
