"""Prompts and heads of K tasks on one frozen backbone: everything that a run trains."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from .backbone import Backbone
from .batches import micro_batches
from .encoding import Example, collate
from .forms import Bank, Form
from .heads import Head, LinearHead, SpanHead, new_head
from .prompt import Method, PromptModule, Start
from .task import Task


class Learner(nn.Module):
    """The trainable state of a run; the backbone is used, not owned."""

    def __init__(self, backbone: Backbone, prompts: PromptModule, heads: Sequence[Head], method: Method) -> None:
        super().__init__()
        self.prompts = prompts
        self.weights = nn.ParameterList([head.weight for head in heads])
        self.biases = nn.ParameterList([head.bias for head in heads])
        self.method = method
        self._backbone = [backbone]  # in a list, so that it is neither a submodule nor in the state
        self._heads = list(heads)
        self.to(backbone.device)

    @classmethod
    def new(
        cls, backbone: Backbone, method: Method, tasks: Sequence[Task], seed: int, start: Start = None
    ) -> "Learner":
        """Prompts by the method and fresh heads; the same seed gives the same heads under every method."""
        heads = torch.Generator().manual_seed(seed)
        fresh = [new_head(task, backbone.hidden_size, backbone.pooling, heads) for task in tasks]
        return cls(
            backbone,
            method.build(backbone, tasks, torch.Generator().manual_seed(seed + 1), start),
            fresh,
            method,
        )

    @property
    def backbone(self) -> Backbone:
        """The frozen model under the prompts."""
        return self._backbone[0]

    def head(self, task: int) -> Head:
        """The task's head over the parameters in training."""
        match self._heads[task]:
            case LinearHead(_, _, pooling):
                return LinearHead(self.weights[task], self.biases[task], pooling)
            case SpanHead():
                return SpanHead(self.weights[task], self.biases[task])

    def fold(self, task: int) -> tuple[Form, Head]:
        """What is left of a task after training: its form and its head, cut from what may train on."""
        head = self.head(task)
        weight, bias = head.weight.detach().clone(), head.bias.detach().clone()
        return self.prompts.fold(task), replace(head, weight=weight, bias=bias)

    def optimizer(self) -> torch.optim.Optimizer:
        """AdamW without decay: one learning rate for the prompts, one for the heads."""
        heads = [*self.weights, *self.biases]
        groups = [{"params": heads, "lr": self.method.head_learning_rate}]
        prompts = list(self.prompts.parameters())
        if prompts:
            groups.append({"params": prompts, "lr": self.method.learning_rate})
        return torch.optim.AdamW(groups, weight_decay=0.0)

    def losses(self, rows: Sequence[tuple[int, Example]]) -> Iterator[tuple[Tensor, Tensor]]:
        """Run (task, example) rows as micro-batches: each yields its rows' losses [b] and their tasks [b].

        A new graph per micro-batch: call backward on one before asking for the next.
        """
        for places in micro_batches([example.length for _, example in rows]):
            batch = collate(self.backbone, [rows[place][1] for place in places])
            tasks = torch.tensor([rows[place][0] for place in places], device=self.backbone.device)
            hidden = self.backbone.hidden(batch, Bank.of(self.prompts.forms()).rows(tasks))
            parts, order = [], []
            for task in tasks.unique().tolist():
                chosen = (tasks == task).nonzero().flatten()
                head, own = self.head(task), batch.select(chosen)
                parts.append(head.loss(head.logits(hidden[chosen], own), own))
                order.append(chosen)
            yield torch.cat(parts), tasks[torch.cat(order)]
