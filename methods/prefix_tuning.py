"""Prefix-tuning: Li and Liang (2021), "Prefix-Tuning: Optimizing Continuous Prompts for Generation".

Keys and values in every layer. The paper trains them through an MLP, because free vectors started from noise were
unstable; ours start from the activations of real words (its section 7.4), do without, and take it by
`reparameterization=mlp`. An encoder-decoder has three prefixes, in its encoder, its decoder and between the two.

`embedding-only` trains input embeddings alone (section 7.2). `infix` stands behind the text, where only what is
generated sees it: [x; INFIX; y] (section 7.3). The authors train its activations in every layer; a prefix of ours would
be seen by the text too, so our infix trains its input embeddings, from which the frozen layers compute the rest. It
needs a decoder and a task that generates.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch

from .beginnings.geometry import Geometry, PrefixGeometry, SoftGeometry
from .beginnings.initializers import Init, Initializer
from .beginnings.places import chosen_places
from .beginnings.reparameterization import RATES, Reparameterization, trainable
from .beginnings.separate import SeparatePrompts, Trained
from .errors import InvalidSetting
from .hyperparameters import Length, Rate
from .prompt import PromptModule, Start
from .rows.task import Task
from .runtime.backbone import Backbone


@dataclass(frozen=True)
class PrefixTuning:
    """A separate prefix per task, in any places and layers."""

    name: ClassVar[str] = "prefix-tuning"
    length: Length = 16
    variant: Literal["keys-values", "embedding-only", "infix"] = "keys-values"
    reparameterization: Reparameterization = "none"
    places: str = "all"
    layers: int | str = "all"
    init: Init = "vocabulary"
    init_text: str = ""
    learning_rate: Rate = None  # pyright: ignore[reportAssignmentType] - 3e-2, or 1e-3 through an MLP, if not given
    head_learning_rate: Rate = 1e-2

    def __post_init__(self) -> None:
        """Choose the rate that is not given."""
        if self.learning_rate is None:
            object.__setattr__(self, "learning_rate", RATES[self.reparameterization])

    def build(
        self, backbone: Backbone, tasks: Sequence[Task], generator: torch.Generator, start: Start | None = None
    ) -> PromptModule:
        """K prefixes, each from its own words, or all from `start`; each place has an MLP of its own."""
        initializer = Initializer(self.length, self.init, self.init_text)

        def prompt(task: Task) -> list[Trained]:
            geometries = self._geometries(backbone, task)
            begun = initializer.begin(backbone, geometries, [task], generator, start and start.form)
            return [
                (geometry, trainable(self.reparameterization, rows, backbone.hidden_size, generator))
                for geometry, rows in begun
            ]

        return SeparatePrompts([prompt(task) for task in tasks])

    def _geometries(self, backbone: Backbone, task: Task) -> list[Geometry]:
        if self.variant == "keys-values":
            places = chosen_places(backbone, task, self.places)
            return [PrefixGeometry.of(backbone, place, self.layers) for place in places]
        if (self.places, self.layers) != ("all", "all"):
            raise InvalidSetting(f"variant {self.variant} trains input embeddings; it has neither places nor layers")
        if self.variant == "embedding-only":
            return [SoftGeometry(backbone.embedding_size, "after-first")]
        if backbone.architecture != "decoder" or task.kind != "generation":
            raise InvalidSetting(
                f"variant infix needs a decoder and a task that generates; task {task.name!r} is {task.kind}, and the"
                f" architecture of {backbone.fingerprint.name} is {backbone.architecture}",
                hint="--set variant=keys-values",
            )
        return [SoftGeometry(backbone.embedding_size, "before-last")]
