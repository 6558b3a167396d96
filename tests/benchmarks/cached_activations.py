"""An epoch with prompts in the upper half of the layers and the lower half's states kept, from the second epoch on."""

import torch

from methods import Backbone

from ._peers import peft_classifier
from ._sentences import sentences
from ._turns import Results, in_turn, result
from .training import LENGTH, ROWS, epoch_of, new_learner, peft_steps, shuffled

GOAL = 2.5


def measure() -> Results:
    """Against prompts in every layer, ours and peft's."""
    torch.set_num_threads(2)
    backbone = Backbone.load()
    examples = sentences(backbone, ROWS)
    kept = new_learner(backbone, "prefix-tuning", 1, layers="last:3")
    kept.remember([examples])
    upper = new_learner(backbone, "prefix-tuning", 1, layers="last:3")
    every = new_learner(backbone, "prefix-tuning", 1)
    peer = peft_steps(backbone, peft_classifier("prefix", LENGTH), list(shuffled(examples, [0] * ROWS)))
    ours, half, whole, theirs = in_turn(
        epoch_of(kept, examples), epoch_of(upper, examples), epoch_of(every, examples), peer, turns=5
    )
    what = f"{ROWS / ours:.0f} rows/s; upper half without keeping {ROWS / half:.0f}"
    return [
        result("cached activations against every layer", whole / ours, GOAL, f"{what}, every layer {ROWS / whole:.0f}"),
        result("cached activations against peft", theirs / ours, GOAL, f"{what}, peft's prefix {ROWS / theirs:.0f}"),
    ]
