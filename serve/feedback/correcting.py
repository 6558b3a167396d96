"""From a request to a correction: what is refused, and which version erred."""

from methods import Task
from registry import RegistryError, Version
from registry.references import parse

from ..engine.fields import FIELDS
from ..errors import Invalid
from ..schemas import FeedbackRequest
from .correction import LARGEST, Correction

KINDS = ("classification", "pair")  # of tasks whose corrections can be learned
SHOWN = 10  # labels, in a hint


def erring(given: FeedbackRequest, name: str) -> str:
    """The reference of the version that erred; `name` is the prompt's, which a bare digest lacks.

    Raises:
        Invalid: the version given is neither a reference nor a digest, or is another prompt's.
    """
    version = given.version or given.prompt
    reference = f"{name}@{version}" if version.startswith("sha256:") else version
    try:
        prompt = parse(reference).prompt
    except RegistryError as error:
        raise Invalid("version is neither a reference nor a digest", hint=error.hint) from None
    if prompt != name:
        raise Invalid(f"version is one of prompt {prompt!r}, and the prompt is {name!r}", hint="name both alike")
    return reference


def check_kind(given: FeedbackRequest, task: Task) -> None:
    """Refuse corrections of a task that learns none.

    Raises:
        Invalid: naming the kinds that do.
    """
    if task.kind not in KINDS:
        raise Invalid(f"prompt {given.prompt!r} answers {task.kind} rows; corrections are of {' or '.join(KINDS)} rows")


def correction(given: FeedbackRequest, task: Task, erred: Version, new_labels: bool) -> Correction:
    """The correction of a row that the task can read.

    Raises:
        Invalid: it is too large, or its label is new and may not be.
    """
    if given.label not in task.labels and not new_labels:
        more = f" and {len(task.labels) - SHOWN} more" if len(task.labels) > SHOWN else ""
        raise Invalid(
            f"the label is none of prompt {given.prompt!r}, and this server takes no new labels",
            hint=f"its labels: {', '.join(task.labels[:SHOWN])}{more}",
        )
    fields = {name: getattr(given, name) for name in FIELDS[task.kind].needed}
    made = Correction(erred.name, erred.reference, erred.id, fields, given.label)
    if made.nbytes > LARGEST:
        raise Invalid(f"the correction has {made.nbytes} bytes; one may have {LARGEST}", hint="send a shorter text")
    return made
