"""Reviews of a registry: reports and approvals are kept, the audit is listed and verified."""

from ..database import Database
from ..late import LateDatabase
from ..records import Version
from ..references import check_name
from . import approvals, reports, trail, verification
from .approvals import Approval
from .reports import Findings, GateReport
from .trail import Entry
from .verification import Verified


class Reviews:
    """What was looked at before moves, and who did what. Safe to share between threads."""

    def __init__(self, database: Database | LateDatabase) -> None:
        self._database = database

    def record(self, findings: Findings, *, actor: str) -> GateReport:
        """Keep what gates found, for good."""
        with self._database.write() as session:
            return reports.record(session, findings, actor)

    def reports(self, version: Version) -> list[GateReport]:
        """What gates found of a version, newest first."""
        with self._database.read() as session:
            return reports.of_version(session, version)

    def approve(self, version: Version, alias: str, *, approver: str, reason: str = "") -> Approval:
        """Say yes to a version for an alias; saying it again changes nothing.

        Raises:
            Refused: the version is the approver's own.
        """
        alias = check_name(alias, "alias")
        with self._database.write() as session:
            return approvals.approve(session, version, alias, approver, reason)

    def approvals(self, version: Version | None = None) -> list[Approval]:
        """The approvals of a version, or of all, newest first."""
        with self._database.read() as session:
            return approvals.listed(session, version)

    def audit(self, limit: int) -> list[Entry]:
        """The newest so many things that anybody did, newest first."""
        with self._database.read() as session:
            return trail.entries(session, limit)

    def verify(self) -> Verified:
        """Check the history, the ledger, and every row that they speak of.

        Raises:
            IntegrityError: naming the first that is not as it was written down.
        """
        with self._database.read() as session:
            return verification.verify(session)
