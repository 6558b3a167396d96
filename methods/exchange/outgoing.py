"""What leaves for another tool, and what must hold for it to answer there as it does here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from torch import Tensor

from ..artifact import Artifact
from ..forms import Part, SoftPrompt, parts
from ..heads import GenerationHead, VerbalizerHead
from ..runtime.backbone import Backbone
from .errors import Inexact

KEEP = "its answers would differ there; --as safetensors keeps it as it is"
TRAIN = "to have it there, train from a prompt of that geometry, which an imported one has: --from REF"


@dataclass(frozen=True)
class Outgoing:
    """Artifacts on their way out, in order; `shared` is the prompt that all of them were made from, if one is known."""

    artifacts: Sequence[Artifact]
    backbone: Callable[[], Backbone]  # loads the one that they were trained on
    shared: Artifact | None = None
    byte_compat: bool = False

    @property
    def one(self) -> Artifact:
        """The only artifact.

        Raises:
            Inexact: there are several.
        """
        if len(self.artifacts) != 1:
            raise Inexact(f"this format holds one prompt, not {len(self.artifacts)}", hint="export them one by one")
        return self.artifacts[0]


@dataclass(frozen=True)
class Exported:
    """Files by name, and what a person should know of them."""

    files: Mapping[str, bytes]
    notes: tuple[str, ...] = ()


class Exporter(Protocol):
    """One format of somebody else's."""

    name: ClassVar[str]

    def write(self, outgoing: Outgoing) -> Exported:
        """The files.

        Raises:
            Inexact: the format cannot hold the prompt without changing what it answers.
        """
        ...


def only_part(artifact: Artifact) -> Part:
    """The single soft prompt or prefix of a task's version.

    Raises:
        Inexact: it has none or several, or is a shared prompt, which answers no task.
    """
    name = artifact.card.name
    if artifact.card.method == "mpt" and artifact.card.task is None:
        raise Inexact(
            f"{name!r} is a shared prompt: no task's prompt is like it before it is multiplied by the task's factors",
            hint="export the tasks' own prompts; their factors are folded in",
        )
    several = parts(artifact.form)
    if len(several) != 1:
        raise Inexact(f"{name!r} consists of {len(several)} prompts; other formats hold one", hint=KEEP)
    return several[0]


def rows_before_everything(artifact: Artifact, backbone: Backbone) -> Tensor:
    """The rows [P, E] of a soft prompt that stands before everything and counts as positions.

    Raises:
        Inexact: it is a prefix, stands elsewhere, or takes no positions on a backbone that has some.
    """
    part, name = only_part(artifact), artifact.card.name
    if not isinstance(part, SoftPrompt):
        raise Inexact(f"{name!r} is a prefix; this format holds soft prompts", hint="--as peft holds prefixes")
    first = part.placement == "first" or (part.placement == "after-first" and not backbone.opens)
    if not first or not (part.shifts or counts_no_positions(backbone)):
        raise Inexact(
            f"{name!r} {_stands(part)}, and others put prompts before everything and count them",
            hint=f"{KEEP}\n{TRAIN} --set placement=first",
        )
    return part.embeddings


def counts_no_positions(backbone: Backbone) -> bool:
    """Whether the backbone sees only distances within the sequence (T5), so that virtual tokens cannot but count."""
    return backbone.architecture == "encoder-decoder" and hasattr(
        backbone.model.config, "relative_attention_num_buckets"
    )


def wording(artifact: Artifact) -> tuple[str, ...]:
    """What a language model's prompt leaves behind when only its tensor goes."""
    task = artifact.card.task
    if task is None or task.text_prompt is None:
        return ()
    return (f"the wording of task {task.name!r} (template, label words) is not in these files; say it the same there",)


def speaks(artifact: Artifact, backbone: Backbone) -> bool:
    """Whether it is read through the language model's own head."""
    generates = isinstance(artifact.head, GenerationHead | VerbalizerHead)
    return generates and backbone.architecture != "encoder"


def _stands(part: SoftPrompt) -> str:
    counted = "counts as positions" if part.shifts else "takes no positions"
    return f"is placed {part.placement} and {counted}"


def settings_of(artifact: Artifact, format_name: str) -> dict[str, Any]:
    """What the files said that it was imported from, where they were of this format."""
    origin: Any = artifact.card.training.get("imported", {})
    return dict(origin["settings"]) if origin and origin["format"] == format_name else {}


def base_of(artifact: Artifact) -> str:
    """What to call its base model: as the files did that it was imported from, or as it was loaded."""
    origin: Any = artifact.card.training.get("imported", {})
    return str(origin.get("base") or artifact.card.backbone.name)
