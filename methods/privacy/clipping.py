"""Each row's own gradient in one pass: every row reads its own copy of its task's prompt and head.

Rows do not see each other, so the gradient of the summed loss with respect to a row's copy is that row's alone. From
the copy of the prompt it goes on to what the prompt is made of (factors, an encoder) by a vector-Jacobian product
through the prompt module, which is small beside the backbone. A row of several windows or templates is one unit: its
gradient is the sum of theirs, clipped once.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ..errors import InvalidSetting
from ..forms import Form, Prefix, SoftPrompt, parts, stack
from ..heads import Head
from ..learner import Learner
from ..rows.batches import micro_batches
from ..rows.collation import collate
from ..rows.encoding import Example
from ..runtime import reading
from ..runtime.bank import Bank

Unit = tuple[int, Sequence[Example]]  # a task's index and the examples of one of its rows
UNROUTED = (SoftPrompt, Prefix)  # forms that every row of a task reads alike

Record = TypeVar("Record")


def check_private(learner: Learner) -> None:
    """Refuse what lets a row's gradient depend on other rows, or reach past the prompt.

    Raises:
        InvalidSetting: naming what it is.
    """
    method = learner.method.name
    if learner.taught or learner.prompts.distillation:
        raise InvalidSetting("a teacher learns from the same rows without noise", hint="--set distillation=0")
    if learner.prompts.sampling != "every-row":
        raise InvalidSetting(
            f"{method} draws a batch by its tasks, not each row by itself", hint="--set sampling=every-row"
        )
    forms = learner.prompts.forms()
    if learner.prompts.asks or not all(isinstance(part, UNROUTED) for form in forms for part in parts(form)):
        raise InvalidSetting(
            f"{method} has a prompt that rows choose from; only one that all rows of a task read alike learns privately"
        )
    outputs = [tensor for form in forms for tensor in _tensors(form)]
    trained = _trained(learner.prompts)
    reached = _vector_jacobian(outputs, trained, [torch.ones_like(one) for one in outputs])
    if any(one is None for one in reached):
        raise InvalidSetting(f"{method} trains what is in no prompt, so no row's share of a step is bounded")


def row_gradients(learner: Learner, units: Sequence[Unit]) -> Iterator[Tensor]:
    """Rows' gradients [b, M] over the M numbers that train, in the order of the learner's parameters.

    In groups of rows of similar length, shortest first.
    """
    forms = learner.prompts.forms()
    read = [unit for unit in units if unit[1]]  # a row without a window that teaches something has the gradient zero
    for group in micro_batches([sum(example.length for example in examples) for _, examples in read]):
        yield _of_group(learner, forms, [read[place] for place in group])


def clipped_sum(gradients: Tensor, clip: float) -> Tensor:
    """The sum [M] of gradients [b, M], each no longer than `clip`; one that is not finite counts as zero.

    Abadi et al. (2016), "Deep Learning with Differential Privacy", algorithm 1.
    """
    norms = gradients.norm(dim=1)
    finite = norms.isfinite()
    scale = (clip / norms[finite].clamp(min=1e-12)).clamp(max=1)
    return scale @ gradients[finite]


def _of_group(learner: Learner, forms: Sequence[Form], units: Sequence[Unit]) -> Tensor:
    copies = [stack(tuple(map(_leaves, parts(forms[task])))) for task, _ in units]
    heads: list[Head] = [_leaves(learner.head(task)) for task, _ in units]
    examples = [(place, example) for place, (_, several) in enumerate(units) for example in several]
    batch = collate(learner.backbone, [example for _, example in examples])
    owner = torch.tensor([place for place, _ in examples], device=learner.backbone.device)[batch.group]
    found = reading.read(learner.backbone, batch, Bank.of(copies), owner, heads)
    loss = torch.stack([heads[one.task].loss(one.logits, one.batch).sum() for one in found]).sum()
    if loss.requires_grad:  # not of rows whose head learns nothing, where there is no prompt either
        loss.backward()
    rows = [_flat(learner, forms, *one) for one in zip((task for task, _ in units), copies, heads, strict=True)]
    return torch.stack(rows)


def _flat(learner: Learner, forms: Sequence[Form], task: int, copy: Form, head: Head) -> Tensor:
    """One row's gradient [M], from its copies."""
    trained = _trained(learner.prompts)
    found = _vector_jacobian(_tensors(forms[task]), trained, [_gradient(one) for one in _tensors(copy)])
    of_prompt = {id(parameter): value for parameter, value in zip(trained, found, strict=True) if value is not None}
    own = {id(parameter): _gradient(getattr(head, name)) for name, parameter in learner.heads[task].items()}  # pyright: ignore[reportCallIssue, reportAttributeAccessIssue] - a ParameterDict
    known = of_prompt | own
    several = [known.get(id(one), torch.zeros_like(one)).flatten() for one in _trained(learner)]
    return torch.cat(several)


def _vector_jacobian(
    outputs: Sequence[Tensor], inputs: Sequence[Tensor], vectors: Sequence[Tensor]
) -> Sequence[Tensor | None]:
    """The gradient of each input, none where no output depends on it."""
    several = [(one, vector) for one, vector in zip(outputs, vectors, strict=True) if one.requires_grad]
    if not several or not inputs:
        return [None] * len(inputs)
    traced, given = zip(*several, strict=True)
    return torch.autograd.grad(traced, inputs, given, retain_graph=True, allow_unused=True)


def _trained(module: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in module.parameters() if parameter.requires_grad]


def _tensors(form: Form) -> list[Tensor]:
    """A form's tensors, as they hang in the graph."""
    return [value for part in parts(form) for value in vars(part).values() if isinstance(value, Tensor)]


def _gradient(tensor: Tensor) -> Tensor:
    return torch.zeros_like(tensor) if tensor.grad is None else tensor.grad


def _leaves(record: Record) -> Record:
    """The same part or head over tensors that collect a gradient of their own."""
    values = {key: value for key, value in vars(record).items() if isinstance(value, Tensor)}
    copied: Any = replace(record, **{key: value.detach().requires_grad_() for key, value in values.items()})  # pyright: ignore[reportArgumentType, reportCallIssue] - a dataclass
    return copied
