"""Whether a task's words fit its kind and the backbone that will read them."""

from ..errors import InvalidRow, InvalidSetting
from ..heads.verbalizer import word_ids
from ..rows.slots import check_order, check_template
from ..rows.task import Row, Task
from ..rows.template import templated
from ..rows.text_prompt import Demonstration, TextPrompt
from ..runtime.backbone import Backbone

WORDED = ("classification", "pair", "generation")  # kinds of task that a template can hold


def check_text_prompt(backbone: Backbone, task: Task) -> TextPrompt:
    """The task's text prompt, if all of it can be read.

    Raises:
        InvalidSetting: beginning with the field that cannot be so.
    """
    prompt = task.text_prompt
    if prompt is None or task.kind not in WORDED:
        raise InvalidSetting(
            f"task {task.name!r} ({task.kind}) has no text prompt; kinds with one: {', '.join(WORDED)}"
        )
    if task.kind == "generation" and backbone.architecture == "encoder":
        raise InvalidSetting(
            f"task {task.name!r} generates text, which the encoder {backbone.fingerprint.name} cannot",
            hint="give a decoder or an encoder-decoder: --backbone NAME|FOLDER",
        )
    for place, template in enumerate(prompt.templates):
        try:
            _check_template(backbone, task, template)
        except InvalidSetting as error:
            raise InvalidSetting(f"templates.{place}: {error}", error.hint) from None
    if prompt.weights and (len(prompt.weights) != len(prompt.templates) or min(prompt.weights) <= 0):
        raise InvalidSetting(f"weights: give each of the {len(prompt.templates)} templates one above 0")
    if task.kind == "generation":
        _check_generation(task, prompt)
    else:
        _check_verbalizer(backbone, task, prompt)
    for place, one in enumerate(prompt.demonstrations):
        _check_demonstration(task, prompt, one, f"demonstrations.{place}")
    _check_room(backbone, task, prompt)
    _check_limit(backbone, task, prompt)
    return prompt


def _check_limit(backbone: Backbone, task: Task, prompt: TextPrompt) -> None:
    """What an encoder-decoder may say must fit its decoder; a decoder's is checked with the text."""
    limits = [prompt.limit, *([prompt.reasoning.limit] if prompt.reasoning else [])]
    if task.kind == "generation" and backbone.target_length is not None and max(limits) > backbone.target_length:
        raise InvalidSetting(f"limit: {max(limits)} tokens, and the decoder has {backbone.target_length} positions")


def _check_template(backbone: Backbone, task: Task, template: str) -> None:
    check_template(template, task.kind)
    if backbone.architecture != "encoder":
        check_order(template)
    elif "{mask}" not in template:
        raise InvalidSetting("the template has no slot {mask}, where an encoder reads the label's words")


def _check_generation(task: Task, prompt: TextPrompt) -> None:
    if len(prompt.templates) > 1:
        raise InvalidSetting(f"templates: {len(prompt.templates)} patterns cannot vote on a generated text; give one")
    if prompt.verbalizer:
        raise InvalidSetting("verbalizer: a generation task has none")
    reasoning = prompt.reasoning
    if reasoning is None:
        return
    if reasoning.extract == "label" and not task.labels:
        raise InvalidSetting("extract: the task has no labels to look for")
    if (reasoning.shots == "few-shot") != bool(prompt.demonstrations):
        raise InvalidSetting(f"reasoning: {reasoning.shots} with {len(prompt.demonstrations)} demonstrations")
    if (reasoning.shots == "zero-shot") != bool(reasoning.trigger):
        raise InvalidSetting(f"trigger: {reasoning.shots} reasoning with the trigger {reasoning.trigger!r}")


def _check_verbalizer(backbone: Backbone, task: Task, prompt: TextPrompt) -> None:
    if prompt.reasoning is not None:
        raise InvalidSetting(f"reasoning: a {task.kind} task answers with one word; take the kind generation")
    if len(prompt.verbalizer) != len(task.labels):
        raise InvalidSetting(
            f"verbalizer: {len(task.labels)} labels and words for {len(prompt.verbalizer)}",
            hint="a prompt in words has no head but the language model's: give each label a word",
        )
    several = [word for words in prompt.verbalizer for word in set(words)]
    if twice := next((word for word in several if several.count(word) > 1), None):
        raise InvalidSetting(f"verbalizer: {twice!r} stands for two labels, which would always be equally likely")
    try:
        word_ids(backbone, prompt.verbalizer)
    except InvalidSetting as error:
        raise InvalidSetting(f"verbalizer: {error}", error.hint) from None


def _check_demonstration(task: Task, prompt: TextPrompt, one: Demonstration, field: str) -> None:
    if prompt.verbalizer and one.answer not in task.labels:
        raise InvalidSetting(f"{field}.label: {one.answer!r} is not one of {', '.join(task.labels)}")
    paired = any("{pair}" in template for template in prompt.templates)
    if paired != bool(one.pair):
        raise InvalidSetting(f"{field}.pair: " + ("missing" if paired else "no template has a slot {pair} for it"))
    thinks = prompt.reasoning is not None and prompt.reasoning.shots == "few-shot"
    if thinks != bool(one.rationale):
        raise InvalidSetting(f"{field}.rationale: " + ("missing" if thinks else "only few-shot reasoning shows it"))


def _check_room(backbone: Backbone, task: Task, prompt: TextPrompt) -> None:
    """A row of one word must fit, and every demonstration beside it."""
    row = Row("a", "a")
    for place, template in enumerate(prompt.templates):
        try:
            shown = templated(backbone, template, task, row, backbone.max_length).shown
        except InvalidRow:
            raise InvalidSetting(
                f"templates.{place}: too long: the backbone reads {backbone.max_length} tokens, what it says included"
            ) from None
        if shown < len(prompt.demonstrations):
            raise InvalidSetting(
                f"demonstrations: {shown} of {len(prompt.demonstrations)} fit into {backbone.max_length} tokens, even"
                " beside the shortest row",
                hint="leave some out, or take a backbone that reads more",
            )
