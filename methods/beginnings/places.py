"""Whose keys and values a prefix stands before: those of an encoder, of a decoder, or between the two."""

from ..errors import InvalidSetting
from ..rows.task import Task
from ..runtime.backbone import Backbone
from ..types import PLACES, Place


def chosen_places(backbone: Backbone, task: Task, setting: str) -> tuple[Place, ...]:
    """The places that a setting names, `all` or some separated by commas, as far as the task's answers reach.

    What is said by an encoder-decoder passes all three places; a head on its encoder's states sees no other.

    Raises:
        InvalidSetting: a place that is not one, that the backbone lacks, or that the task's answers do not reach.
    """
    backbone.layout(backbone.place)
    spoken = task.kind == "generation" or bool(task.text_prompt and task.text_prompt.verbalizer)
    reached = tuple(backbone.layouts) if spoken else (backbone.place,)
    if setting == "all":
        return reached
    named = setting.replace(" ", "").split(",")
    if len(set(named)) < len(named) or set(named) - set(PLACES):
        raise InvalidSetting(f"places {setting!r} are not known", hint=f"write all, or some of {', '.join(PLACES)}")
    chosen: list[Place] = [place for place in PLACES if place in named]
    for place in chosen:
        backbone.layout(place)
        if place not in reached:
            raise InvalidSetting(
                f"task {task.name!r} is read from the encoder's states, which a prefix in {place} does not reach",
                hint="--set places=encoder",
            )
    return tuple(chosen)
