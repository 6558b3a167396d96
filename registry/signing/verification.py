"""Whether a version is the one that somebody signed."""

from collections.abc import Collection

from ..errors import IntegrityError
from .ed25519 import verifies
from .records import Signature, Signed
from .statement import Statement


def check(signed: Signed, trusted: Collection[str] = ()) -> tuple[str, ...]:
    """The names of the keys whose signatures count.

    With `trusted` public keys no other counts, whichever the registry may know.

    Raises:
        IntegrityError: none does: it is not signed, it was changed, or its keys are revoked, unknown or not trusted.
    """
    reference = signed.statement.reference
    if not signed.signatures:
        raise IntegrityError(f"{reference} is not signed", hint=f"sign it: promptctl prompt sign {reference}")
    faults = {one.key: fault(signed.statement, one, trusted) for one in signed.signatures}
    if good := tuple(key for key, found in faults.items() if found is None):
        return good
    said = "; ".join(f"{key}: {found}" for key, found in faults.items())
    raise IntegrityError(
        f"no signature of {reference} counts ({said})",
        hint=f"look at it first: promptctl prompt show {reference}; publish it again, or sign it with another key",
    )


def fault(statement: Statement, one: Signature, trusted: Collection[str] = ()) -> str | None:
    """Why a signature does not count, if so."""
    if one.public is None:
        return "the registry does not know this key"
    if one.revoked:
        return "this key was revoked"
    if trusted and one.public not in trusted:
        return "this key is not among the trusted ones"
    if not verifies(one.public, one.signature, statement.encoded()):
        return "card, digest or number are not what was signed"
    return None
