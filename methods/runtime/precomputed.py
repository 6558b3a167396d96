"""A soft prompt as the keys and values that a decoder makes of it: computed once, instead of with every text.

A virtual token that stands before all text sees, in a causal decoder, nothing but the virtual tokens before it; so its
keys and values are the same for every text, and a text in its own positions reads them as it would beside the vectors.
Not so in a bidirectional model, where the virtual tokens see the text; not behind an opening token, whose own states
would change; and not where attention ends at a window, out of which a prefix never falls.
"""

import torch

from ..errors import InvalidSetting
from ..forms import Form, Prefix, SoftPrompt
from ..types import Batch
from .attention import Call
from .backbone import Backbone
from .bank import Bank, PromptRows

ATOL = 1e-4  # by how much states may differ on the backbone's probe


def precomputed(backbone: Backbone, prompt: SoftPrompt) -> Prefix:
    """The prefix [L, 2, N, P, D] through which every text has the states that it has behind the soft prompt.

    Raises:
        InvalidSetting: there is none, because of the backbone or because of where the prompt stands.
    """
    if not causal(backbone):
        raise InvalidSetting(f"in {backbone.fingerprint.name} a virtual token depends on the text beside it")
    if not leads(backbone, prompt):
        raise InvalidSetting(f"a soft prompt placed {prompt.placement} has text before it")
    call = Call(captured={})
    index = torch.zeros(1, dtype=torch.long, device=backbone.device)
    with torch.no_grad():
        rows = PromptRows(Bank.of([prompt]).rows(index).soft, {})
        backbone.run(backbone.sequence(_word(backbone), rows), None, prompt_call=call)
    length, layers = len(prompt.embeddings), range(backbone.layout("decoder").layers)
    found = [call.captured["decoder", layer] for layer in layers] if call.captured else []
    key_values = torch.stack([torch.cat([keys, values]) for keys, values in found])  # [L, 2, N, P + 1, D]
    return Prefix(key_values[:, :, :, :length].clone(), tuple(layers), "decoder", prompt.shifts)


def causal(backbone: Backbone) -> bool:
    """Whether no token of the backbone sees a later one, and each sees all earlier ones."""
    config = backbone.model.config.get_text_config()
    whole = set(getattr(config, "layer_types", None) or ()) <= {"full_attention"}
    windowed = getattr(config, "sliding_window", None) and getattr(config, "use_sliding_window", True)
    return backbone.architecture == "decoder" and "decoder" in backbone.layouts and whole and not windowed


def leads(backbone: Backbone, form: Form) -> bool:
    """Whether a form is a soft prompt that stands before everything else."""
    match form:
        case SoftPrompt(placement="first"):
            return True
        case SoftPrompt(placement="after-first"):
            return backbone.opens == 0
        case _:
            return False


def exact(backbone: Backbone) -> bool:
    """Whether a prompt of random vectors, precomputed, gives a probe of two words the states that the vectors give."""
    if not causal(backbone):
        return False
    scale = backbone.embed(torch.arange(3, device=backbone.device)).std().item()
    random = torch.randn(3, backbone.embedding_size, generator=torch.Generator().manual_seed(0)) * scale
    prompt = SoftPrompt(random.to(backbone.device), "first")
    index = torch.zeros(1, dtype=torch.long, device=backbone.device)
    batch = _word(backbone, 2)
    forms = (prompt, precomputed(backbone, prompt))
    with torch.no_grad():
        beside, behind = (backbone.hidden(batch, Bank.of([form]).rows(index)) for form in forms)
    return torch.allclose(beside, behind, atol=ATOL, rtol=1e-3)


def _word(backbone: Backbone, count: int = 1) -> Batch:
    """A batch of one text of so many words, with nothing around it."""
    ids = torch.full((1, count), 3, device=backbone.device)
    one, none, nowhere = torch.ones_like(ids), torch.zeros_like(ids), torch.full((1,), -1, device=backbone.device)
    return Batch(
        input_ids=ids,
        attention_mask=one,
        token_type_ids=none,
        infix=nowhere,
        slots=none[:, :0],
        masked=nowhere,
        answerable=none.bool(),
        label=nowhere,
        start=nowhere,
        end=nowhere,
        tags=none - 1,
        target_ids=none,
        target_mask=none,
        group=none[:, 0],
    )
