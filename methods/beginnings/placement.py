"""Where the virtual tokens of a soft prompt go among the tokens of a task."""

import re
from collections.abc import Sequence

from ..errors import InvalidSetting
from ..rows.slots import virtual_tokens
from ..rows.task import Task
from ..runtime.backbone import Backbone
from ..types import Placement

_LAST = re.compile(r"\{prompt(:\d+)?\}\s*$")


def placed(backbone: Backbone, task: Task, placement: Placement, length: int) -> Placement:
    """The task's own slots where its template has `{prompt}`, and the setting where it has none.

    Raises:
        InvalidSetting: slots that are not as many as virtual tokens, or a place from which no answer is reached.
    """
    templates = task.text_prompt.templates if task.text_prompt is not None else ()
    if backbone.architecture != "encoder":  # it goes on at the mask and reads nothing behind it
        templates = [template.partition("{mask}")[0] for template in templates]
    slots = {virtual_tokens(template) for template in templates}
    if slots - {0}:
        _check_slots(task, slots, length)
        placement = "template"
    elif placement == "template":
        raise InvalidSetting(
            f"task {task.name!r} has no template with slots {{prompt}}",
            hint=f"write {{prompt:{length}}} into its template, or choose another placement",
        )
    said = task.kind == "generation" or bool(task.text_prompt and task.text_prompt.verbalizer)
    if backbone.architecture == "decoder" and not said and _behind(task, placement, templates):
        raise InvalidSetting(
            f"placement {placement} puts virtual tokens behind the text of task {task.name!r}, where a decoder's text"
            " never sees them",
            hint="put them in front of the text",
        )
    return placement


def _check_slots(task: Task, slots: set[int], length: int) -> None:
    if slots != {length}:
        found = " or ".join(map(str, sorted(slots)))
        raise InvalidSetting(
            f"the template of task {task.name!r} has {found} slots {{prompt}} and the prompt has length {length}",
            hint=f"write slots {{prompt:N}} that add up to {length} into each template, or change --set length",
        )


def _behind(task: Task, placement: Placement, templates: Sequence[str]) -> bool:
    """Whether virtual tokens come last."""
    match placement:
        case "before-last":
            return True
        case "infix":
            return task.kind in ("classification", "tagging")
        case "template":
            return any(_LAST.search(template) for template in templates)
        case "first" | "after-first":
            return False
