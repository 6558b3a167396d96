import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load
from torch import Tensor

from methods import Artifact, Backbone, Bank, SoftPrompt
from methods.exchange import EXPORTERS, Outgoing, Source, Wanted, artifact_of, card_of, recognised, shared_of, task_of
from methods.rows.collation import collate
from methods.rows.encoding import Example
from methods.runtime.decoding import generate
from methods.runtime.reading import read
from tests.backbones import tiny, tiny_bert

# peft 0.21 asks transformers 5.23 for a property by its old name whenever a prompt is put on a model.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

P, C = 6, 5  # rows of a prompt, labels
LENGTHS = (9, 4, 7)  # tokens of the rows
MODELS = {
    "SEQ_CLS": "AutoModelForSequenceClassification",
    "TOKEN_CLS": "AutoModelForTokenClassification",
    "QUESTION_ANS": "AutoModelForQuestionAnswering",
    "CAUSAL_LM": "AutoModelForCausalLM",
    "SEQ_2_SEQ_LM": "AutoModelForSeq2SeqLM",
    "FEATURE_EXTRACTION": "AutoModel",
}
KINDS: dict[str, dict[str, Any]] = {
    "PromptTuningConfig": {},
    "PromptEncoderConfig": {"encoder_hidden_size": 13},
    "MultitaskPromptTuningConfig": {"num_tasks": 3, "num_ranks": 2},
    "PrefixTuningConfig": {},
    "CartridgeConfig": {"num_frozen_tokens": 2},
    "CPTConfig": {"cpt_token_ids": list(range(10, 10 + P)), "cpt_tokens_type_mask": [1, 2, 3, 4, 1, 2]},
}
TASK = 2  # which task of a multitask adapter is compared


@pytest.fixture(scope="session")
def peft() -> ModuleType:
    import peft

    return peft


@pytest.fixture(scope="session")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def folder(name: str) -> Path:
        if name not in made:
            place = tmp_path_factory.mktemp(name)
            made[name] = tiny_bert(place) if name == "bert" else tiny(name, place)
        return made[name]

    return folder


@pytest.fixture(scope="session")
def backbone_of(folder_of: Callable[[str], Path]) -> Callable[[str], Backbone]:
    loaded: dict[str, Backbone] = {}

    def backbone(name: str) -> Backbone:
        if name not in loaded:
            loaded[name] = Backbone.load(str(folder_of(name)))
        return loaded[name]

    return backbone


@dataclass(frozen=True)
class Adapter:
    """A peft model with random numbers in its prompt and its head, and where it was saved."""

    model: Any
    config: Any
    folder: Path


@pytest.fixture
def adapter_of(peft: ModuleType, folder_of: Callable[[str], Path], tmp_path: Path) -> Callable[..., Adapter]:
    def adapter(name: str, task_type: str, kind: str, **settings: Any) -> Adapter:
        torch.manual_seed(7)
        model = fresh(folder_of(name), task_type)
        length = {} if kind == "CPTConfig" else {"num_virtual_tokens": P}
        values = {"task_type": task_type} | length | KINDS[kind] | settings
        config = getattr(peft, kind)(**values)
        wrapped = peft.get_peft_model(model, config).eval()
        for parameter in (*wrapped.prompt_encoder.parameters(), *_trained(wrapped)):
            parameter.data = torch.randn_like(parameter.data)
        wrapped.save_pretrained(tmp_path / "adapter")
        return Adapter(wrapped, config, tmp_path / "adapter")

    return adapter


def fresh(folder: Path, task_type: str) -> Any:
    """A model of transformers with its head as it happens to begin."""
    labels = {"num_labels": C} if task_type in ("SEQ_CLS", "TOKEN_CLS") else {}
    model = getattr(transformers, MODELS[task_type]).from_pretrained(folder, **labels)
    if task_type == "SEQ_2_SEQ_LM":  # peft 0.21 stores a method that transformers 5.23 no longer has
        model.__dict__["_prepare_encoder_decoder_kwargs_for_generation"] = None
    return model


def _trained(wrapped: Any) -> list[Tensor]:
    return [parameter for name, parameter in wrapped.named_parameters() if ".modules_to_save." in name]


def imported(folder: Path, backbone: Backbone) -> tuple[list[Artifact], Artifact | None]:
    """Every prompt of a folder, and the shared one."""
    importer = recognised(source := Source.at(folder))
    assert importer.name == "peft"
    headless = b"FEATURE_EXTRACTION" in (folder / "adapter_config.json").read_bytes()
    wanted = Wanted(labels=() if headless else tuple("abcde"))
    found = importer.read(source, backbone, wanted)
    made = []
    for one in found.prompts:
        task = task_of(one, "named", wanted)
        made.append(artifact_of(one, card_of(one, found, "peft", "named", task, backbone), backbone))
    return made, shared_of(found, "peft", "shared/named", backbone)


def exported(artifacts: list[Artifact], shared: Artifact | None, backbone: Backbone, **how: Any) -> dict[str, bytes]:
    written = EXPORTERS[how.pop("to", "peft")].write(Outgoing(artifacts, lambda: backbone, shared, **how))
    return dict(written.files)


def rows(lengths: tuple[int, ...] = LENGTHS, target: int = 0) -> list[Example]:
    generator = torch.Generator().manual_seed(3)

    def ids(count: int) -> list[int]:
        return torch.randint(5, 60, (count,), generator=generator).tolist()

    made = [(ids(length), ids(target)) for length in lengths]
    return [Example(text, [0] * len(text), [(0, 1)] * len(text), target_ids=said) for text, said in made]


@torch.no_grad()
def ours(artifact: Artifact, backbone: Backbone, examples: list[Example]) -> Tensor:
    """The head's logits, through the artifact's own bytes."""
    again = Artifact.from_bytes(artifact.to_bytes())
    assert again.head is not None
    batch = collate(backbone, examples)
    owner = torch.zeros(len(examples), dtype=torch.long)
    (found,) = read(backbone, batch, Bank.of([again.form]), owner, [again.head])
    return found.logits


@torch.no_grad()
def theirs(adapter: Adapter, backbone: Backbone, examples: list[Example]) -> Tensor:
    """peft's logits for the same rows, without those of virtual tokens."""
    batch = collate(backbone, examples)
    more: dict[str, Any] = {}
    if adapter.config.peft_type == "MULTITASK_PROMPT_TUNING":
        more["task_ids"] = torch.full((len(examples),), TASK)
    ids, mask = batch.input_ids, batch.attention_mask
    match adapter.config.task_type:
        case "CAUSAL_LM":
            ids = torch.cat([ids, batch.target_ids], dim=1)
            logits = adapter.model(input_ids=ids, attention_mask=torch.ones_like(ids), **more).logits
            width = batch.target_ids.shape[1]
            return logits[:, -width - 1 : -1]
        case "SEQ_2_SEQ_LM":
            return adapter.model(input_ids=ids, attention_mask=mask, labels=batch.target_ids, **more).logits
        case "QUESTION_ANS":
            output = adapter.model(input_ids=ids, attention_mask=mask, token_type_ids=batch.token_type_ids, **more)
            return torch.stack([output.start_logits, output.end_logits], dim=2)
        case "TOKEN_CLS":
            return adapter.model(input_ids=ids, attention_mask=mask, **more).logits[:, -ids.shape[1] :]
        case "FEATURE_EXTRACTION":
            return adapter.model(input_ids=ids, attention_mask=mask, **more).last_hidden_state
        case _:
            return adapter.model(input_ids=ids, attention_mask=mask, **more).logits


def real(logits: Tensor, examples: list[Example]) -> Tensor:
    """The logits of real tokens, where there is one per token."""
    if logits.dim() < 3 or logits.shape[1] != max(len(one.input_ids) for one in examples):
        return logits
    return torch.cat([row[: len(one.input_ids)] for row, one in zip(logits, examples, strict=True)])


def check(adapter: Adapter, backbone: Backbone, examples: list[Example]) -> None:
    artifacts, _ = imported(adapter.folder, backbone)
    artifact = artifacts[TASK] if len(artifacts) > 1 else artifacts[0]
    mine, other = ours(artifact, backbone, examples), theirs(adapter, backbone, examples)
    torch.testing.assert_close(real(mine, examples), real(other, examples), atol=1e-5, rtol=1e-5)
    without = ours(replace(artifact, form=None), backbone, examples)
    assert (real(without, examples) - real(mine, examples)).abs().max() > 0.1  # the prompt matters


@pytest.mark.parametrize("kind", ["PromptTuningConfig", "PromptEncoderConfig", "MultitaskPromptTuningConfig"])
@pytest.mark.parametrize("task_type", ["SEQ_CLS", "TOKEN_CLS"])
@pytest.mark.parametrize("name", ["bert", "roberta"])
def test_an_input_prompt_on_an_encoder_gives_pefts_logits_for_ragged_rows(
    adapter_of: Callable[..., Adapter], backbone_of: Callable[[str], Backbone], name: str, task_type: str, kind: str
) -> None:
    check(adapter_of(name, task_type, kind), backbone_of(name), rows())


@pytest.mark.parametrize("kind", ["PrefixTuningConfig", "CartridgeConfig"])
@pytest.mark.parametrize("task_type", ["SEQ_CLS", "TOKEN_CLS", "QUESTION_ANS"])
@pytest.mark.parametrize("name", ["bert", "roberta", "electra"])
def test_a_prefix_on_an_encoder_gives_pefts_logits_for_ragged_rows(
    adapter_of: Callable[..., Adapter], backbone_of: Callable[[str], Backbone], name: str, task_type: str, kind: str
) -> None:
    check(adapter_of(name, task_type, kind), backbone_of(name), rows())


def test_a_projected_prefix_is_imported_folded(
    adapter_of: Callable[..., Adapter], backbone_of: Callable[[str], Backbone]
) -> None:
    adapter = adapter_of("bert", "SEQ_CLS", "PrefixTuningConfig", prefix_projection=True, encoder_hidden_size=11)
    check(adapter, backbone_of("bert"), rows())


@pytest.mark.parametrize("name", ["distilbert", "electra"])
def test_other_classification_layers_give_pefts_logits(
    adapter_of: Callable[..., Adapter], backbone_of: Callable[[str], Backbone], name: str
) -> None:
    sizes = {"token_dim": backbone_of(name).embedding_size, "num_layers": 3, "num_attention_heads": 4}
    check(adapter_of(name, "SEQ_CLS", "PromptTuningConfig", **sizes), backbone_of(name), rows())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["gpt2", "llama", "qwen3"])
def test_a_prompt_on_a_decoder_gives_pefts_logits(
    adapter_of: Callable[..., Adapter], backbone_of: Callable[[str], Backbone], name: str, kind: str
) -> None:
    check(adapter_of(name, "CAUSAL_LM", kind), backbone_of(name), rows((8, 8), target=3))


@pytest.mark.parametrize("kind", ["PromptTuningConfig", "PromptEncoderConfig", "MultitaskPromptTuningConfig"])
@pytest.mark.parametrize("name", ["t5", "bart"])
def test_an_input_prompt_on_an_encoder_decoder_gives_pefts_logits(
    adapter_of: Callable[..., Adapter], backbone_of: Callable[[str], Backbone], name: str, kind: str
) -> None:
    once = {"num_transformer_submodules": 1} if kind.startswith("Multitask") else {}
    check(adapter_of(name, "SEQ_2_SEQ_LM", kind, **once), backbone_of(name), rows(target=3))


@pytest.mark.parametrize("kind", ["PrefixTuningConfig", "CartridgeConfig"])
@pytest.mark.parametrize(("name", "width"), [("t5", 48), ("bart", 40)])
def test_a_prefix_on_an_encoder_decoder_gives_pefts_logits(
    adapter_of: Callable[..., Adapter], backbone_of: Callable[[str], Backbone], name: str, width: int, kind: str
) -> None:
    check(adapter_of(name, "SEQ_2_SEQ_LM", kind, token_dim=width), backbone_of(name), rows(target=3))


def test_a_prefix_whose_layers_peft_uses_twice_gives_pefts_logits_and_survives_an_export(
    adapter_of: Callable[..., Adapter],
    backbone_of: Callable[[str], Backbone],
    folder_of: Callable[[str], Path],
    peft: ModuleType,
    tmp_path: Path,
) -> None:
    adapter, backbone = (
        adapter_of("t5", "SEQ_2_SEQ_LM", "PrefixTuningConfig", token_dim=48, num_layers=2),
        backbone_of("t5"),
    )
    check(adapter, backbone, rows(target=3))
    folder = written(exported(*imported(adapter.folder, backbone), backbone), tmp_path / "exported")
    loaded = peft.PeftModel.from_pretrained(fresh(folder_of("t5"), "SEQ_2_SEQ_LM"), folder).eval()
    again = theirs(replace(adapter, model=loaded), backbone, rows(target=3))
    torch.testing.assert_close(again, theirs(adapter, backbone, rows(target=3)), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("kind", ["PromptTuningConfig", "PrefixTuningConfig"])
@pytest.mark.parametrize("task_type", ["SEQ_CLS", "TOKEN_CLS"])
@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_a_classified_decoder_gives_pefts_logits(
    adapter_of: Callable[..., Adapter], backbone_of: Callable[[str], Backbone], name: str, task_type: str, kind: str
) -> None:
    check(adapter_of(name, task_type, kind), backbone_of(name), rows((8,)))


def written(files: dict[str, bytes], folder: Path) -> Path:
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


EXACT = [
    ("bert", "SEQ_CLS", "PromptTuningConfig", {}),
    ("bert", "SEQ_CLS", "PromptEncoderConfig", {}),
    ("bert", "SEQ_CLS", "MultitaskPromptTuningConfig", {}),
    ("bert", "SEQ_CLS", "PrefixTuningConfig", {}),
    ("bert", "TOKEN_CLS", "PrefixTuningConfig", {}),
    ("bert", "QUESTION_ANS", "CartridgeConfig", {}),
    ("bert", "FEATURE_EXTRACTION", "PromptTuningConfig", {}),
    ("roberta", "SEQ_CLS", "PrefixTuningConfig", {}),
    ("gpt2", "CAUSAL_LM", "PromptTuningConfig", {}),
    ("gpt2", "CAUSAL_LM", "MultitaskPromptTuningConfig", {}),
    ("gpt2", "SEQ_CLS", "PromptTuningConfig", {}),
    ("llama", "CAUSAL_LM", "PrefixTuningConfig", {}),
    ("llama", "TOKEN_CLS", "PromptTuningConfig", {}),
    ("t5", "SEQ_2_SEQ_LM", "PromptTuningConfig", {"num_transformer_submodules": 1}),
]


@pytest.mark.parametrize(("name", "task_type", "kind", "settings"), EXACT)
def test_an_imported_prompt_is_exported_in_the_bytes_that_peft_saved(
    adapter_of: Callable[..., Adapter],
    backbone_of: Callable[[str], Backbone],
    name: str,
    task_type: str,
    kind: str,
    settings: dict[str, Any],
) -> None:
    adapter, backbone = adapter_of(name, task_type, kind, **settings), backbone_of(name)
    files = exported(*imported(adapter.folder, backbone), backbone, byte_compat=True)
    assert files["adapter_model.safetensors"] == (adapter.folder / "adapter_model.safetensors").read_bytes()
    saved = (adapter.folder / "adapter_config.json").read_bytes()
    place = Path(backbone.fingerprint.name)
    assert str(place).encode() in saved
    assert files["adapter_config.json"] == saved.replace(str(place).encode(), place.name.encode())
    assert files.keys() == {"adapter_model.safetensors", "adapter_config.json"}


def test_without_byte_compat_each_saved_layer_is_listed_once(
    adapter_of: Callable[..., Adapter], backbone_of: Callable[[str], Backbone]
) -> None:
    adapter, backbone = adapter_of("bert", "SEQ_CLS", "PromptTuningConfig"), backbone_of("bert")
    files = exported(*imported(adapter.folder, backbone), backbone)
    assert json.loads(files["adapter_config.json"])["modules_to_save"] == ["classifier", "score"]


@pytest.mark.parametrize(
    ("name", "task_type", "kind", "settings"),
    [*EXACT, ("t5", "SEQ_2_SEQ_LM", "PromptTuningConfig", {}), ("t5", "SEQ_2_SEQ_LM", "PrefixTuningConfig", {})],
)
def test_peft_loads_what_is_exported_and_gives_the_same_logits(
    adapter_of: Callable[..., Adapter],
    backbone_of: Callable[[str], Backbone],
    folder_of: Callable[[str], Path],
    peft: ModuleType,
    tmp_path: Path,
    name: str,
    task_type: str,
    kind: str,
    settings: dict[str, Any],
) -> None:
    sizes = {"token_dim": 48} if (name, kind) == ("t5", "PrefixTuningConfig") else {}
    adapter, backbone = adapter_of(name, task_type, kind, **settings, **sizes), backbone_of(name)
    artifacts, shared = imported(adapter.folder, backbone)
    folder = written(exported(artifacts, shared, backbone), tmp_path / "exported")
    loaded = peft.PeftModel.from_pretrained(fresh(folder_of(name), task_type), folder).eval()
    examples = rows((8, 8), target=3)
    again = theirs(replace(adapter, model=loaded), backbone, examples)
    torch.testing.assert_close(again, theirs(adapter, backbone, examples), atol=1e-6, rtol=1e-6)
    back, _ = imported(folder, backbone)
    assert [one.to_bytes() for one in back] == [
        replace(one, card=other.card).to_bytes() for one, other in zip(artifacts, back, strict=True)
    ]


def test_one_prompt_of_several_is_exported_folded(
    adapter_of: Callable[..., Adapter], backbone_of: Callable[[str], Backbone], peft: ModuleType
) -> None:
    adapter, backbone = adapter_of("gpt2", "CAUSAL_LM", "MultitaskPromptTuningConfig"), backbone_of("gpt2")
    artifacts, shared = imported(adapter.folder, backbone)
    files = exported([artifacts[TASK]], shared, backbone)
    assert json.loads(files["adapter_config.json"])["peft_type"] == "PROMPT_TUNING"
    prompt = load(files["adapter_model.safetensors"])["prompt_embeddings"]
    with torch.no_grad():
        assert torch.equal(prompt, adapter.model.get_prompt(1, task_ids=torch.tensor([TASK]))[0])


def test_a_pack_serves_each_prompt_by_its_task_id_bit_for_bit(
    adapter_of: Callable[..., Adapter],
    backbone_of: Callable[[str], Backbone],
    folder_of: Callable[[str], Path],
    peft: ModuleType,
    tmp_path: Path,
) -> None:
    backbone = backbone_of("gpt2")
    first, *_ = imported(adapter_of("gpt2", "CAUSAL_LM", "PromptTuningConfig").folder, backbone)[0]
    packed = [with_rows(first, torch.randn(P, 40, generator=torch.Generator().manual_seed(k))) for k in range(4)]
    folder = written(exported(packed, None, backbone, to="peft-mpt-pack"), tmp_path / "pack")
    loaded = peft.PeftModel.from_pretrained(fresh(folder_of("gpt2"), "CAUSAL_LM"), folder).eval()
    with torch.no_grad():
        prompts = loaded.get_prompt(4, task_ids=torch.arange(4))
    assert all(torch.equal(made, rows_of(artifact)) for made, artifact in zip(prompts, packed, strict=True))


def with_rows(artifact: Artifact, embeddings: Tensor) -> Artifact:
    assert isinstance(artifact.form, SoftPrompt)
    return replace(artifact, form=replace(artifact.form, embeddings=embeddings))


def rows_of(artifact: Artifact) -> Tensor:
    assert isinstance(artifact.form, SoftPrompt)
    return artifact.form.embeddings


# transformers 5.23 computes positions for every generation, which peft 0.21 leaves out of an input prompt's.
@pytest.mark.filterwarnings("ignore:Position ids are not supported:UserWarning")
@pytest.mark.parametrize("kind", ["PromptTuningConfig", "PrefixTuningConfig"])
@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_a_decoder_says_the_same_tokens_as_under_peft(
    adapter_of: Callable[..., Adapter], backbone_of: Callable[[str], Backbone], name: str, kind: str
) -> None:
    adapter, backbone = adapter_of(name, "CAUSAL_LM", kind), backbone_of(name)
    (artifact, *_), _ = imported(adapter.folder, backbone)
    examples = rows((6, 6, 6))
    batch = collate(backbone, examples)
    prompts = Bank.of([artifact.form]).rows(torch.zeros(3, dtype=torch.long))
    theirs_said = adapter.model.generate(
        input_ids=batch.input_ids, attention_mask=batch.attention_mask, max_new_tokens=7, do_sample=False
    )
    end = backbone.tokenizer.eos_token_id
    for said, row in zip(generate(backbone, batch, prompts, 7), theirs_said.tolist(), strict=True):
        after = row[-7:]
        assert said == after[: after.index(end) if end in after else 7]
