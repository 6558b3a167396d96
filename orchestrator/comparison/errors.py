"""What can go wrong with comparisons by their ids."""

from ..errors import OrchestratorError


class UnknownComparison(OrchestratorError, LookupError):
    """An id that no comparison of this home has."""

    code = "not_found"


class ComparisonExists(OrchestratorError, FileExistsError):
    """A name that another comparison of this home has."""

    code = "conflict"
