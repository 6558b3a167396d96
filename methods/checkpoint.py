"""Training state in two safetensors files and a JSON: enough to go on as if nothing had happened."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from .errors import InvalidSetting
from .learner import Learner
from .training import Progress


def save_checkpoint(folder: Path, learner: Learner, progress: Progress, facts: dict[str, object]) -> None:
    """Write trainables, optimizer moments and the cursor; `facts` are compared on loading."""
    save_file(
        {name: tensor.cpu() for name, tensor in learner.state_dict().items()},
        folder / "trainables.safetensors",
    )
    moments = {
        f"{index}.{name}": tensor.cpu()
        for index, state in progress.optimizer.state_dict()["state"].items()
        for name, tensor in state.items()
    }
    save_file(moments, folder / "optimizer.safetensors")
    (folder / "state.json").write_text(json.dumps({"done": progress.done, "facts": facts}, sort_keys=True))


def load_checkpoint(folder: Path, learner: Learner, progress: Progress, facts: dict[str, object]) -> None:
    """Put a saved state back.

    Raises:
        InvalidSetting: the checkpoint belongs to other data, another backbone or other settings.
    """
    state = json.loads((folder / "state.json").read_text())
    changed = sorted(key for key in facts | state["facts"] if facts.get(key) != state["facts"].get(key))
    if changed:
        raise InvalidSetting(f"the checkpoint does not fit this run: {', '.join(changed)} changed since it was written")
    learner.load_state_dict(load_file(folder / "trainables.safetensors"))
    moments: dict[int, dict[str, torch.Tensor]] = {}
    for key, tensor in load_file(folder / "optimizer.safetensors").items():
        index, name = key.split(".", 1)
        moments.setdefault(int(index), {})[name] = tensor
    whole = progress.optimizer.state_dict()
    progress.optimizer.load_state_dict({"state": moments, "param_groups": whole["param_groups"]})
    progress.done = state["done"]
