"""`promptctl key`: who signs versions."""

from pathlib import Path

import click

from .options import output_option
from .output import Listing, plain, show, show_one

COLUMNS = ("name", "state", "public", "created_by", "created_at", "revoked_by", "revoked_at")


@click.group()
def key() -> None:
    """Make, list and revoke the keys that sign versions.

    A private key is a file of its owner's and never in the registry, which knows public keys by their names.
    PROMPTCTL_SIGNING_KEY names the one that signs whatever is published. PROMPTCTL_REQUIRE_SIGNED has servers
    refuse unsigned versions of the prompts that it names, as in `sentiment qa-*`; with PROMPTCTL_TRUSTED_KEYS
    only those public keys count, whatever the registry says.

    \b
    promptctl key create release
    promptctl prompt sign sentiment:7 --key release
    """


@key.command()
@click.argument("name")
@click.option("--to", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="The private key's file; else keys/NAME.pem in the home.")  # fmt: skip
@output_option
def create(name: str, to: Path | None, output: str) -> None:
    """Make an Ed25519 key; its private half is a file.

    The file is for its owner alone (0600) and is never written over. Whoever has it signs as NAME, so a copy
    belongs where secrets are kept.

    \b
    promptctl key create release
    promptctl key create ci --to /run/secrets/ci.pem
    """
    from registry import RegistryError
    from registry.references import check_name
    from registry.signing.ed25519 import PrivateKey

    from ..access import opened
    from ..own_file import write_new
    from ..settings import Settings

    settings = Settings()
    private, file = PrivateKey.new(), to or settings.keys / f"{check_name(name, 'key')}.pem"
    with opened(settings) as registry:
        write_new(file, private.pem)
        try:
            made = registry.signatures.create_key(name, private.public, actor=settings.actor)
        except RegistryError:
            file.unlink()
            raise
    click.echo(f"the private key is in {file}", err=True)
    show_one("key", plain(made) | {"file": str(file)}, output)


@key.command("list")
@output_option
def list_keys(output: str) -> None:
    """List every key there ever was.

    \b
    promptctl key list
    """
    from ..access import opened
    from ..settings import Settings

    with opened(Settings()) as registry:
        keys = registry.signatures.keys()
    records = [plain(one) | {"state": "revoked" if one.revoked_at else "valid"} for one in keys]
    show(Listing("keys", records, COLUMNS), output)


@key.command()
@click.argument("name")
@output_option
def revoke(name: str, output: str) -> None:
    """Have a key's signatures count no more, for good.

    Also those that it made before. A server that requires signatures keeps what it has loaded, and refuses
    what the key alone has signed when it loads it next; sign that with another key first.

    \b
    promptctl key revoke release
    """
    from ..access import opened
    from ..settings import Settings

    settings = Settings()
    with opened(settings) as registry:
        show_one("key", registry.signatures.revoke_key(name, actor=settings.actor), output)
