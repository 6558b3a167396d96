"""Sixteen rows for sixteen tasks in one forward: against the bare backbone, and against peft taking task after task."""

import torch

from methods import Artifact, Backbone, Card, LinearHead, Prefix, Row, Task, encode, predict
from methods.rows.collation import collate

from ._peers import peft_classifier
from ._turns import Results, in_turn, result

ROWS, LENGTH = 16, 16
GOALS = {12: 4.0, 32: 2.5}  # how much faster than peft's loop, by tokens of a row
MOST = 1.10  # of the bare backbone's time


def measure() -> Results:
    """One thread; the ratio of the median wall times."""
    torch.set_num_threads(1)
    backbone = Backbone.load()
    peer = peft_classifier("prefix", LENGTH, adapters=ROWS).eval()
    artifacts = prefixes(backbone)
    return [line for tokens, goal in GOALS.items() for line in _measure(backbone, peer, artifacts, tokens, goal)]


def _measure(backbone: Backbone, peer: object, artifacts: list[Artifact], tokens: int, goal: float) -> Results:
    task = Task("t", "classification", ("a", "b"))
    (example,) = encode(backbone, task, Row("word " * (tokens - 2)))
    batch = collate(backbone, [example] * ROWS)
    one = collate(backbone, [example])

    def bare() -> None:
        with torch.inference_mode():
            backbone.hidden(batch)

    def loop() -> None:
        with torch.inference_mode():
            for name in range(ROWS):
                peer.set_adapter(str(name))  # pyright: ignore[reportAttributeAccessIssue] - a PeftModel
                peer(input_ids=one.input_ids, attention_mask=one.attention_mask)  # pyright: ignore[reportCallIssue] - a PeftModel

    ours, base, theirs = in_turn(lambda: predict(backbone, [(a, example) for a in artifacts]), bare, loop, turns=15)
    what = f"{ROWS} rows of {tokens} tokens over {ROWS} prefixes of {LENGTH}: {ours * 1000:.1f} ms"
    return [
        result(f"mixed batch, {tokens} tokens", ours / base, MOST, f"{what}, bare {base * 1000:.1f} ms", at_most=True),
        result(
            f"mixed batch against peft, {tokens} tokens",
            theirs / ours,
            goal,
            f"{what}, peft's set_adapter loop {theirs * 1000:.1f} ms",
        ),
    ]


def prefixes(backbone: Backbone) -> list[Artifact]:
    """One version for each of sixteen tasks."""
    generator = torch.Generator().manual_seed(0)
    card = Card("t", Task("t", "classification", ("a", "b")), "prefix-tuning", {}, backbone.fingerprint)
    layout = backbone.layout("encoder")
    size = (layout.layers, 2, layout.heads, LENGTH, layout.head_dim)
    head = LinearHead(torch.randn(2, backbone.hidden_size, generator=generator), torch.zeros(2))
    layers = tuple(range(layout.layers))
    return [Artifact(card, Prefix(torch.randn(size, generator=generator), layers), head) for _ in range(ROWS)]
