import io
import json
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from methods import Backbone
from methods.exchange import IMPORTERS, Inexact, NoSuchFile, Source, UnreadableFile, Wanted, recognised
from methods.exchange.foreign import LARGEST_FILE, LARGEST_JSON, MOST_FILES
from methods.exchange.naming import public_name

WANTED = Wanted(labels=("a", "b"))
CONFIG: dict[str, Any] = {
    "peft_type": "PROMPT_TUNING",
    "task_type": "SEQ_CLS",
    "num_virtual_tokens": 6,
    "token_dim": 40,
    "num_layers": 3,
    "num_attention_heads": 4,
    "num_transformer_submodules": 1,
}


def tensors() -> dict[str, torch.Tensor]:
    return {
        "prompt_embeddings": torch.ones(6, 40),
        "base_model.classifier.weight": torch.ones(2, 40),
        "base_model.classifier.bias": torch.ones(2),
    }


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    """A folder that can be imported; each test spoils one thing about it."""
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps(CONFIG))
    save_file(tensors(), folder / "adapter_model.safetensors")
    return folder


def read(path: Path, backbone: Backbone, *, allow_pickle: bool = False) -> Any:
    source = Source.at(path, allow_pickle=allow_pickle)
    return recognised(source).read(source, backbone, WANTED)


def change(adapter: Path, **settings: Any) -> None:
    (adapter / "adapter_config.json").write_text(json.dumps(CONFIG | settings))


def test_what_is_not_spoiled_is_read(adapter: Path, tiny: Backbone) -> None:
    (prompt,) = read(adapter, tiny).prompts
    assert (prompt.kind, prompt.form.shifts, prompt.form.placement) == ("classification", True, "first")


class Touch:
    """Unpickled by Python, it makes a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self._path,)


def archive(path: Path, index: bytes, **entries: bytes) -> None:
    """An archive like those of torch.save with any pickle in it."""
    with zipfile.ZipFile(path, "w") as file:
        for name, data in {"data.pkl": index, "version": b"3\n", "byteorder": b"little", **entries}.items():
            file.writestr(f"archive/{name}", data)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_pickle_that_would_run_something_runs_nothing(tmp_path: Path, tiny: Backbone, protocol: int) -> None:
    touched = tmp_path / "touched"
    folder = tmp_path / "prompts"
    folder.mkdir()
    archive(folder / "decoder.pt", pickle.dumps(Touch(touched), protocol))
    (folder / "encoder.pt").write_bytes(pickle.dumps(Touch(touched), protocol))
    for name in ("decoder.pt", "encoder.pt"):
        with pytest.raises(UnreadableFile):
            Source.at(folder, allow_pickle=True).tensors(name)
    assert not touched.exists()
    pickle.loads(pickle.dumps(Touch(touched), protocol))
    assert touched.exists()  # it would have


@pytest.mark.parametrize(
    "named",
    ["posix system", "builtins bytearray", "torch._utils _rebuild_sparse_tensor", "torch.serialization _get_layout"],
)
def test_a_pickle_names_nothing_but_tensors_even_if_torch_would_read_it(tmp_path: Path, named: str) -> None:
    module, name = named.split()
    archive(tmp_path / "a.pt", f"c{module}\n{name}\n.".encode())
    with pytest.raises(UnreadableFile, match="no tensor"):
        Source.at(tmp_path / "a.pt", allow_pickle=True).tensors("a.pt")


def test_a_pickle_is_not_read_unless_it_is_allowed(tmp_path: Path) -> None:
    torch.save(torch.ones(6, 40), tmp_path / "decoder.pt")
    with pytest.raises(UnreadableFile) as refused:
        Source.at(tmp_path / "decoder.pt").tensors("decoder.pt")
    assert "--allow-pickle" in refused.value.hint
    file = Source.at(tmp_path / "decoder.pt", allow_pickle=True).tensors("decoder.pt")
    assert torch.equal(file.take("tensor", 6, 40), torch.ones(6, 40))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_tensors_of_a_pickle_come_in_fp32(tmp_path: Path, dtype: torch.dtype) -> None:
    values = torch.arange(12).view(3, 4).to(dtype)
    torch.save({"a": torch.nn.Parameter(values.t()), "steps": torch.tensor([1])}, tmp_path / "a.bin")
    file = Source.at(tmp_path / "a.bin", allow_pickle=True).tensors("a.bin")
    assert torch.equal(file.take("a", 4, 3), values.float().t())
    assert not file.take("a", 4, 3).requires_grad
    with pytest.raises(UnreadableFile, match="not floating-point"):
        file.take("steps", 1)


def test_a_pickle_cannot_claim_more_numbers_than_it_holds(tmp_path: Path) -> None:
    torch.save(torch.ones(1).expand(50_000, 50_000), tmp_path / "a.pt")  # 10 GB of one number
    with pytest.raises(UnreadableFile, match=r"claims \[50000, 50000\]"):
        Source.at(tmp_path / "a.pt", allow_pickle=True).tensors("a.pt")


def test_a_compressed_archive_is_refused(tmp_path: Path) -> None:
    torch.save(torch.zeros(1000, 1000), plain := io.BytesIO())
    with zipfile.ZipFile(plain) as old, zipfile.ZipFile(tmp_path / "a.pt", "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.namelist():
            new.writestr(entry, old.read(entry))
    with pytest.raises(UnreadableFile, match="compressed"):
        Source.at(tmp_path / "a.pt", allow_pickle=True).tensors("a.pt")


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")  # which is the point
@pytest.mark.parametrize("second", ["archive/data.pkl", "archive/DATA.PKL", "archive/data/0", "other/data.pkl"])
def test_an_archive_with_two_indices_is_refused(tmp_path: Path, second: str) -> None:
    torch.save(torch.ones(6, 40), plain := io.BytesIO())
    with zipfile.ZipFile(plain) as old, zipfile.ZipFile(tmp_path / "a.pt", "w") as new:
        for entry in old.namelist():
            new.writestr(entry.replace(entry.partition("/")[0], "archive", 1), old.read(entry))
        new.writestr(second, b"cposix\nsystem\n.")
    with pytest.raises(UnreadableFile, match="one archive"):
        Source.at(tmp_path / "a.pt", allow_pickle=True).tensors("a.pt")


def header(spec: object, data: bytes = b"") -> bytes:
    text = spec if isinstance(spec, bytes) else json.dumps(spec).encode()
    return len(text).to_bytes(8, "little") + text + data


F32 = {"dtype": "F32", "shape": [1, 2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00" * 7,
        (1 << 63).to_bytes(8, "little"),
        header(b"[" * 100_000),
        header({"a": F32}),  # no numbers behind it
        header({"a": F32}, b"\0" * 7),
        header({"a": F32, "b": F32}, b"\0" * 8),  # overlapping
        header({"a": F32 | {"data_offsets": [8, 0]}}, b"\0" * 8),
        header({"a": F32 | {"data_offsets": [0, 1 << 62]}}, b"\0" * 8),
        header({"a": F32 | {"shape": [1 << 40, 1 << 40]}}, b"\0" * 8),
        header({"a": F32 | {"shape": [50_000, 50_000], "data_offsets": [0, 10_000_000_000]}}, b"\0" * 8),  # 10 GB
        header({"a": F32 | {"dtype": "F31"}}, b"\0" * 8),
        header({"a": F32}, b"\0" * 9),  # more than it says
        header([]),
    ],
)
def test_a_safetensors_file_that_is_not_whole_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.safetensors").write_bytes(data)
    with pytest.raises(UnreadableFile, match="not a whole safetensors file"):
        Source.at(tmp_path).tensors("a.safetensors")


def test_a_truncated_adapter_is_refused(adapter: Path, tiny: Backbone) -> None:
    path = adapter / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UnreadableFile, match="not a whole safetensors file"):
        read(adapter, tiny)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_number_that_is_not_finite_is_refused(adapter: Path, tiny: Backbone, value: float) -> None:
    spoiled = tensors()
    spoiled["prompt_embeddings"][3, 7] = value
    save_file(spoiled, adapter / "adapter_model.safetensors")
    with pytest.raises(UnreadableFile, match="not finite"):
        read(adapter, tiny)


def test_a_number_too_large_for_fp32_is_refused(adapter: Path, tiny: Backbone) -> None:
    save_file(tensors() | {"prompt_embeddings": torch.full((6, 40), 1e300, dtype=torch.float64)}, adapter / WEIGHTS)
    with pytest.raises(UnreadableFile, match="not finite"):
        read(adapter, tiny)


WEIGHTS = "adapter_model.safetensors"


@pytest.mark.parametrize("shape", [(6, 41), (5, 40), (6, 40, 1), (240,), (0, 40)])
def test_a_prompt_of_other_sizes_is_refused(adapter: Path, tiny: Backbone, shape: tuple[int, ...]) -> None:
    save_file(tensors() | {"prompt_embeddings": torch.ones(shape)}, adapter / WEIGHTS)
    with pytest.raises(UnreadableFile, match="has shape"):
        read(adapter, tiny)


def test_whole_numbers_are_no_prompt(adapter: Path, tiny: Backbone) -> None:
    save_file(tensors() | {"prompt_embeddings": torch.ones(6, 40, dtype=torch.int64)}, adapter / WEIGHTS)
    with pytest.raises(UnreadableFile, match="not floating-point"):
        read(adapter, tiny)


@pytest.mark.parametrize(
    "extra", ["../../other", "prompt_encoder.default.mlp.weight", "base_model.bert.pooler\x1b[31m"]
)
def test_a_tensor_that_belongs_nowhere_is_refused_and_its_name_cannot_steer_a_terminal(
    adapter: Path, tiny: Backbone, extra: str
) -> None:
    save_file(tensors() | {extra: torch.ones(2)}, adapter / WEIGHTS)
    with pytest.raises(Inexact, match="no part of") as refused:
        read(adapter, tiny)
    assert "\x1b" not in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '"peft_type"',
        "[" * 100_000,
        '{"peft_type": NaN}',
        f'{{"a": {"[" * 30}1{"]" * 30}}}',
        f'{{"peft_type": "PROMPT_TUNING", "n": {"9" * 5000}}}',
        "\udcff",
    ],
)
def test_a_configuration_that_is_no_shallow_object_is_refused(adapter: Path, tiny: Backbone, text: str) -> None:
    (adapter / "adapter_config.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(UnreadableFile):
        read(adapter, tiny)


def test_a_configuration_of_many_megabytes_is_not_read(adapter: Path, tiny: Backbone) -> None:
    (adapter / "adapter_config.json").write_bytes(b" " * (LARGEST_JSON + 1))
    with pytest.raises(UnreadableFile, match="at most"):
        read(adapter, tiny)


@pytest.mark.parametrize("count", [0, -1, 10_001, 10**12, "many", None, 1.5])
def test_an_impossible_number_of_virtual_tokens_is_refused(adapter: Path, tiny: Backbone, count: object) -> None:
    change(adapter, num_virtual_tokens=count)
    with pytest.raises(UnreadableFile, match="num_virtual_tokens"):
        read(adapter, tiny)


def test_sizes_in_the_configuration_that_the_tensors_do_not_have_are_refused(adapter: Path, tiny: Backbone) -> None:
    change(adapter, num_virtual_tokens=7)
    with pytest.raises(UnreadableFile, match=r"\[6, 40\], not \[7, 40\]"):
        read(adapter, tiny)


def test_a_file_of_many_gigabytes_is_not_opened(adapter: Path, tiny: Backbone) -> None:
    os.truncate(adapter / WEIGHTS, LARGEST_FILE + 1)  # sparse: it takes no room
    with pytest.raises(UnreadableFile, match="at most"):
        read(adapter, tiny)


@pytest.mark.parametrize("name", ["adapter_config.json", WEIGHTS])
def test_a_link_out_of_the_folder_is_refused(adapter: Path, tiny: Backbone, tmp_path: Path, name: str) -> None:
    outside = tmp_path / "secret"
    (adapter / name).rename(outside)
    (adapter / name).symlink_to(outside)
    with pytest.raises(UnreadableFile, match="leads out of its folder"):
        read(adapter, tiny)


def test_a_link_within_the_folder_is_followed(adapter: Path, tiny: Backbone) -> None:
    (adapter / WEIGHTS).rename(adapter / "blob")
    (adapter / WEIGHTS).symlink_to("blob")
    assert read(adapter, tiny).prompts


@pytest.mark.parametrize("name", ["../secret.json", "..", ".", "", "a/b.json", "/etc/passwd", "c\0.json"])
def test_a_name_cannot_leave_the_folder(adapter: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "secret.json").write_text("{}")
    source = Source.at(adapter)
    with pytest.raises(UnreadableFile, match="is no file of"):
        source.json(name)
    with pytest.raises(UnreadableFile, match="is no file of"):
        Source(source.folder, (*source.files, name)).json(name)


def test_a_pipe_is_not_waited_for(adapter: Path, tiny: Backbone) -> None:
    (adapter / WEIGHTS).unlink()
    os.mkfifo(adapter / WEIGHTS)
    with pytest.raises(UnreadableFile, match="not a plain file"):
        read(adapter, tiny)


def test_a_folder_of_very_many_files_is_not_searched(tmp_path: Path) -> None:
    for number in range(MOST_FILES + 1):
        (tmp_path / str(number)).touch()
    with pytest.raises(UnreadableFile, match=str(MOST_FILES + 1)):
        Source.at(tmp_path)


def test_what_is_not_there_or_not_known_is_said(tmp_path: Path) -> None:
    with pytest.raises(NoSuchFile):
        Source.at(tmp_path / "nothing")
    with pytest.raises(UnreadableFile) as unknown:
        recognised(Source.at(tmp_path))
    assert all(name in unknown.value.hint for name in IMPORTERS)
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises((NoSuchFile, UnreadableFile)):
        Source.at(tmp_path / "loop")


def npy(claimed: tuple[int, ...], descr: str, data: bytes) -> bytes:
    np.lib.format.write_array_header_1_0(
        file := io.BytesIO(), {"descr": descr, "fortran_order": False, "shape": claimed}
    )
    return file.getvalue() + data


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x93NUMPY",
        npy((50_000, 50_000), "<f4", b"\0" * 8),  # 10 GB
        npy((-2, -1), "<f4", b"\0" * 8),
        npy((1, 2), "<f4", b"\0" * 7),
        npy((1, 2), "<i4", b"\0" * 8),
        npy((1, 1), "|O", pickle.dumps([1])),
        npy((1, 1), "<f16", b"\0" * 16),
    ],
)
def test_an_npy_file_that_is_not_what_it_claims_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.npy").write_bytes(data)
    with pytest.raises(UnreadableFile):
        Source.at(tmp_path / "a.npy").tensors("a.npy")


def test_an_npy_file_of_any_floats_comes_in_fp32(tmp_path: Path) -> None:
    values = np.arange(6, dtype=">f8").reshape(2, 3)
    np.save(tmp_path / "a.npy", np.asfortranarray(values))
    taken = Source.at(tmp_path / "a.npy").tensors("a.npy").take("array", 2, 3)
    assert torch.equal(taken, torch.arange(6.0).view(2, 3))


@pytest.mark.parametrize(
    ("base", "name"),
    [
        ("bert-base-uncased", "bert-base-uncased"),
        ("google/t5-v1_1-base", "google/t5-v1_1-base"),
        ("/home/ada/models/my bert", "mybert"),
        ("C:\\Users\\ada\\bert", "bert"),
        ("./checkpoints/bert/", "bert"),
        ("../../etc/passwd", "passwd"),
        ("a/../b", "b"),
        ("a/b/c", "c"),
        ("\x1b[31mred", "31mred"),
        (None, ""),
    ],
)
def test_of_a_path_only_the_last_name_is_kept(base: str | None, name: str) -> None:
    assert public_name(base) == name
