"""The engine's forward against the bare backbone: rows of sixteen tasks, of prefixes and of pools, in one batch."""

from collections.abc import Sequence

import torch

from methods import Artifact, Backbone, Card, LinearHead, Prefix, Row, Task, encode, predict
from methods.forms import Form, PromptPool
from methods.rows.collation import collate

from ._turns import Results, in_turn, result

ROWS = 16
PREFIXES = ((12, 8, 1.08), (32, 16, 1.10))  # tokens of a row, length of a prefix, the most of the bare backbone's time
POOL = (12, 8, 10, 2.1)  # tokens, length, components, the most
TASK = Task("t", "classification", ("a", "b"))
TURNS = 21


def measure() -> Results:
    """One thread; the ratio of the median wall times."""
    torch.set_num_threads(1)
    backbone = Backbone.load()
    lines = []
    for tokens, length, most in PREFIXES:
        forms = [_prefix(backbone, length, seed) for seed in range(ROWS)]
        lines.append(_measure(backbone, forms, tokens, most, f"prefixes of {length}"))
    tokens, length, components, most = POOL
    pools = [_pool(backbone, length, components, seed) for seed in range(ROWS)]
    return [*lines, _measure(backbone, pools, tokens, most, f"pools of {components} times {length}")]


def _measure(backbone: Backbone, forms: Sequence[Form], tokens: int, most: float, what: str) -> dict[str, object]:
    generator = torch.Generator().manual_seed(0)
    head = LinearHead(torch.randn(2, backbone.hidden_size, generator=generator), torch.zeros(2), backbone.pooling)
    card = Card("t", TASK, "prefix-tuning", {}, backbone.fingerprint)
    (example,) = encode(backbone, TASK, Row("word " * (tokens - backbone.opens - backbone.closes)))
    items = [(Artifact(card, form, head), example) for form in forms]
    batch = collate(backbone, [example] * len(forms))

    def bare() -> None:
        with torch.inference_mode():
            backbone.hidden(batch)

    ours, base = in_turn(lambda: predict(backbone, items), bare, turns=TURNS)
    name = f"engine, {len(forms)} rows of {tokens} tokens, {what} of as many tasks"
    compared = f"{ours * 1000:.1f} ms against {base * 1000:.1f} ms of the bare backbone"
    return result(name, ours / base, most, compared, at_most=True)


def _prefix(backbone: Backbone, length: int, seed: int) -> Prefix:
    layout = backbone.layout(backbone.place)
    shape = (layout.layers, 2, layout.heads, length, layout.head_dim)
    key_values = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return Prefix(key_values, tuple(range(layout.layers)), backbone.place)


def _pool(backbone: Backbone, length: int, components: int, seed: int) -> PromptPool:
    """In the layers 0 to 4, as CODA-Prompt has it."""
    layout, generator = backbone.layout(backbone.place), torch.Generator().manual_seed(seed)
    layers = tuple(range(min(5, layout.layers)))
    keys, attentions = torch.randn(2, len(layers), components, backbone.hidden_size, generator=generator)
    shape = (len(layers), 2, components, layout.heads, length, layout.head_dim)
    values = torch.randn(shape, generator=generator)
    return PromptPool(keys, attentions, values, layers, (components,), backbone.place)
