"""`promptctl prompt sign` and `verify`: who vouches for a version."""

import click

from . import complete
from .options import output_option
from .output import Listing, show


@click.command()
@click.argument("reference", shell_complete=complete.references)
@click.option("--key", metavar="NAME|FILE", help="The private key; else PROMPTCTL_SIGNING_KEY's.")
@output_option
def sign(reference: str, key: str | None, output: str) -> None:
    """Sign a version: its number, card and digest.

    The signature is kept beside the version. With the same key a second time changes nothing; several keys may
    sign one version.

    \b
    promptctl prompt sign sentiment:7 --key release
    """
    from ..access import opened
    from ..settings import Settings
    from ..signer import needed

    settings = Settings()
    with opened(settings) as registry:
        signer = needed(settings, key)
        registry.fetch(registry.resolve(reference))  # nobody vouches for bytes that are not there
        version, made = registry.signatures.sign(reference, signer, actor=settings.actor)
    record = {"reference": version.reference, "digest": version.digest, "key": made.name}
    show(Listing("signatures", [record], ("reference", "digest", "key"), name="reference"), output)


@click.command()
@click.argument("reference", shell_complete=complete.references)
@output_option
def verify(reference: str, output: str) -> None:
    """Check a version's bytes, and the signatures on it.

    The exit code is 8 where a byte of its artifact or card is not what was published, where it has no signature,
    and where none is by a key that counts: one that is known, not revoked, and, where PROMPTCTL_TRUSTED_KEYS
    names public keys, one of them.

    \b
    promptctl prompt verify sentiment:7
    promptctl prompt verify sentiment@production -o json
    """
    from registry.signing import verification

    from ..access import opened
    from ..settings import Settings

    settings = Settings()
    with opened(settings) as registry:
        version, signed = registry.signatures.signed(reference)
        registry.fetch(version)
    records = [
        {
            "reference": version.reference,
            "key": one.key,
            "state": verification.fault(signed.statement, one, settings.trusted_keys) or "good",
        }
        for one in signed.signatures
    ]
    show(Listing("signatures", records, ("reference", "key", "state"), name="key"), output)
    verification.check(signed, settings.trusted_keys)
