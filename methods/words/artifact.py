"""A task's words as an artifact: nothing is trained, so it has no tensors."""

from ..artifact import Artifact, Card
from ..errors import InvalidSetting
from ..heads import GenerationHead, Head, VerbalizerHead
from ..heads.reasoning import ReasoningHead
from ..heads.verbalizer import word_ids
from ..rows.slots import virtual_tokens
from ..rows.task import Task
from ..rows.text_prompt import TextPrompt
from ..runtime.backbone import Backbone
from .checking import check_text_prompt
from .reasoning import second_trigger

METHOD = "text"


def worded(backbone: Backbone, name: str, task: Task, package_version: str = "") -> Artifact:
    """A version of the prompt `name` that is words only.

    Raises:
        InvalidSetting: the backbone has no language-model head, or the text prompt a field that cannot be so.
    """
    backbone.language_model()
    prompt = check_text_prompt(backbone, task)
    for place, template in enumerate(prompt.templates):
        if virtual_tokens(template):
            raise InvalidSetting(f"templates.{place}: {{prompt}} is for trained vectors; a prompt in words has none")
    card = Card(name, task, METHOD, {}, backbone.fingerprint, package_version=package_version)
    return Artifact(card, None, _head(backbone, prompt))


def _head(backbone: Backbone, prompt: TextPrompt) -> Head:
    if prompt.verbalizer:
        return VerbalizerHead(word_ids(backbone, prompt.verbalizer))
    reasoning = prompt.reasoning
    if reasoning is None:
        return GenerationHead(prompt.limit)
    if reasoning.shots == "few-shot":
        return GenerationHead(reasoning.limit)
    return ReasoningHead(reasoning.limit, tuple(second_trigger(backbone, reasoning)), prompt.limit)
