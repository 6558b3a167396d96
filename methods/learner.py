"""Prompts and heads of K tasks on one frozen backbone: everything that a run trains."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import repeat

import torch
from torch import Tensor, nn

from .forms import Form
from .heads import Head, new_head
from .losses import Losses, lost
from .prompt import Method, PromptModule, Start
from .rows.batches import PACKED_WASTE, WASTE, micro_batches
from .rows.collation import collate
from .rows.encoding import Example
from .rows.task import Task
from .runtime.activations import Activations, first_changed, lowest_layer
from .runtime.backbone import Backbone
from .runtime.bank import Bank
from .runtime.reading import queries, read
from .stored import tensors
from .teachers import Teachers
from .types import Batch


class Learner(nn.Module):
    """The trainable state of a run; the backbone is used, not owned."""

    def __init__(self, backbone: Backbone, prompts: PromptModule, heads: Sequence[Head], method: Method) -> None:
        super().__init__()
        self.prompts = prompts
        self.heads = nn.ModuleList([nn.ParameterDict(tensors(head)) for head in heads])
        self.method = method
        self._backbone = [prompts.adapted(backbone)]  # in a list, so that it is neither a submodule nor in the state
        self._heads = list(heads)
        self._activations: Activations | None = None
        self._teachers: Teachers | None = None
        with torch.no_grad():
            prompted = any(form is not None for form in prompts.forms())
        self._waste = PACKED_WASTE if prompted and self.backbone.packs else WASTE
        self.to(backbone.device)

    @classmethod
    def new(
        cls, backbone: Backbone, method: Method, tasks: Sequence[Task], seed: int, start: Start | None = None
    ) -> "Learner":
        """Prompts by the method and fresh heads; the same seed gives the same heads under every method."""
        heads = torch.Generator().manual_seed(seed)
        fresh = [new_head(task, backbone, heads) for task in tasks]
        prompts = method.build(backbone, tasks, torch.Generator().manual_seed(seed + 1), start)
        for form in prompts.forms():
            backbone.check_form(form)
        return cls(backbone, prompts, fresh, method)

    @property
    def backbone(self) -> Backbone:
        """The frozen model under the prompts."""
        return self._backbone[0]

    def head(self, task: int) -> Head:
        """The task's head over the parameters in training."""
        return replace(self._heads[task], **dict(self.heads[task].items()))  # pyright: ignore[reportArgumentType, reportCallIssue, reportAttributeAccessIssue] - a ParameterDict

    def parameters_per_task(self) -> int:
        """Numbers of the prompts that a task trains, without its head: all of them where it is the only task."""
        if len(self.heads) > 1:
            return self.prompts.parameters_per_task()
        return sum(parameter.numel() for parameter in self.prompts.parameters() if parameter.requires_grad)

    def fold(self, task: int) -> tuple[Form, Head]:
        """What is left of a task after training: its form and its head, cut from what may train on."""
        head = self.head(task)
        return self.prompts.fold(task), replace(head, **{name: value.clone() for name, value in tensors(head).items()})

    def optimizer(self) -> torch.optim.Optimizer:
        """AdamW without decay: a learning rate for the heads, and those of the prompts."""
        several = [(list(self.heads.parameters()), self.method.head_learning_rate), *self.prompts.rates(self.method)]
        trained = [([one for one in parameters if one.requires_grad], rate) for parameters, rate in several]
        groups = [{"params": parameters, "lr": rate} for parameters, rate in trained if parameters]
        return torch.optim.AdamW(groups, weight_decay=0.0)

    def remember(self, data: Sequence[Sequence[Example]]) -> None:
        """Keep in memory what no prompt changes in the states of these examples (`activations`).

        Raises:
            InvalidSetting: there is no such layer, and no query to keep.
        """
        forms, asks = self.prompts.forms(), self.prompts.asks
        layer = first_changed(self.backbone, forms) if asks else lowest_layer(self.backbone, forms)
        self._activations = Activations(self.backbone, layer, data, asks=asks)

    def learn_from(self, teachers: Sequence[tuple[Form, Head]], data: Sequence[Sequence[Example]]) -> None:
        """Add what one teacher per task says of these examples to the losses, as the prompts' distillation has it."""
        self._teachers = Teachers(self.backbone, teachers, data)

    @property
    def taught(self) -> bool:
        """Whether it has teachers."""
        return self._teachers is not None

    def losses(self, rows: Sequence[tuple[int, Example]]) -> Iterator[Losses]:
        """Run (task, example) rows as micro-batches.

        A new graph per micro-batch: call backward on one before asking for the next.
        """
        for known, places in self._micro_batches([example for _, example in rows]):
            examples = [rows[place][1] for place in places]
            batch = collate(self.backbone, examples)
            below = self._activations.below(examples, batch) if self._activations and known else None
            tasks = torch.tensor([rows[place][0] for place in places], device=self.backbone.device)
            bank = Bank.of(self.prompts.forms())
            heads = [self.head(task) for task in range(len(self._heads))]
            owner = tasks[batch.group]
            taught = self._teachers.read(examples, batch, owner) if self._teachers else repeat(None)
            query = self._queries(examples, batch, known=known)
            found = read(self.backbone, batch, bank, owner, heads, below, query=query)
            lesson = self.prompts.distillation
            losses = Losses.joined(
                [lost(heads[one.task], one, teacher, lesson) for one, teacher in zip(found, taught, strict=False)]
            )
            yield losses if query is None else losses.plus(self.prompts.added_loss(query))

    def _queries(self, examples: Sequence[Example], batch: Batch, *, known: bool) -> Tensor | None:
        if not self.prompts.asks:
            return None
        kept = self._activations.queries(examples) if self._activations and known else None
        return queries(self.backbone, batch) if kept is None else kept

    def _micro_batches(self, examples: Sequence[Example]) -> Iterator[tuple[bool, list[int]]]:
        """Places of examples of similar length, alike in what is kept of them; and whether their lower states are."""
        kept = [self._activations is not None and self._activations.holds(example) for example in examples]
        read = [self._teachers is not None and self._teachers.holds(example) for example in examples]
        held = list(zip(kept, read, strict=True))
        for mark in sorted(set(held)):
            places = [place for place, one in enumerate(held) if one == mark]
            for group in micro_batches([examples[place].length for place in places], self._waste):
                yield mark[0], [places[index] for index in group]
