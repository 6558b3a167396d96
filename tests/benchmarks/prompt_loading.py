"""From the bytes of a version to something that can answer, against peft reading the same prefix from its folder."""

import tempfile

from methods import Artifact, Backbone

from ._peers import peft_classifier
from ._turns import Results, in_turn, result
from .mixed_batch import LENGTH, prefixes

MOST = 1.0  # milliseconds


def measure() -> Results:
    """The median of loading one version, in milliseconds."""
    backbone = Backbone.load()
    data = prefixes(backbone)[0].to_bytes()
    peer = peft_classifier("prefix", LENGTH)
    with tempfile.TemporaryDirectory() as folder:
        peer.save_pretrained(folder, selected_adapters=["0"])
        names = iter(range(1, 10_000))
        ours, theirs = in_turn(
            lambda: Artifact.from_bytes(data),
            lambda: peer.load_adapter(f"{folder}/0", adapter_name=str(next(names))),
            turns=31,
        )
    what = f"{len(data):,} bytes in {ours * 1000:.2f} ms, peft's load_adapter {theirs * 1000:.2f} ms"
    return [result("prompt loading, ms", ours * 1000, MOST, what, at_most=True)]
