"""`promptctl prompt import` and `prompt export`: prompts from other tools, and for them."""

from pathlib import Path
from typing import Any

import click

from . import complete
from .options import dry_run_option, output_option, say_dry_run
from .output import Listing, plain, show

IMPORTED = ("peft", "ptuning-v2", "adapters", "tgis", "soft-prompt")
EXPORTED = ("peft", "tgis", "peft-mpt-pack", "safetensors")
KINDS = ("classification", "pair", "tagging", "span-qa", "generation")


@click.command("import")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--as", "format", type=click.Choice(IMPORTED), help="Its format; without it, it is recognised.")
@click.option("--name", required=True, help="What to call the prompt.")
@click.option("--task", shell_complete=complete.tasks, help="The registered task that it answers.")
@click.option("--kind", type=click.Choice(KINDS), help="What it answers, where neither file nor task says so.")
@click.option("--labels", metavar="A,B", default="", help="Its labels, in the order of its head.")
@click.option("--task-id", type=click.IntRange(min=0), help="Which of a file's several tasks; without it, all.")
@click.option("--backbone", metavar="NAME|FOLDER", help="The model it was trained on; else PROMPTCTL_BACKBONE's.")
@click.option("--allow-pickle", is_flag=True, help="Read tensors, and nothing else, from .pt and .bin files.")
@dry_run_option
@output_option
def import_prompt(path: Path, labels: str, backbone: str | None, dry_run: bool, output: str, **given: Any) -> None:
    """Publish a prompt that another tool trained.

    It answers here as it did there, or it is refused with the reason. Nothing in the files is executed.
    The same files again are no new version.

    \b
    peft          prompt tuning, P-tuning, prefix tuning, MPT (one version a task), Cartridge, CPT
    ptuning-v2    a checkpoint of P-tuning v2's authors
    adapters      a prefix of AdapterHub's library, with its head
    tgis          encoder.pt or decoder.pt
    soft-prompt   one tensor, virtual tokens by width, in a .safetensors or .npy file

    A prompt without a head or a language model that says its answers is published as shared/NAME, to
    train from.

    \b
    promptctl prompt import ./adapter --name mood --labels bad,good --backbone bert-base-uncased
    promptctl prompt import ./adapter --name mood --task sentiment --dry-run
    promptctl prompt import ./decoder.pt --allow-pickle --name summary --backbone gpt2
    """
    from methods import DEFAULT_BACKBONE

    from ..access import opened
    from ..exchange import Intake, bring
    from ..settings import Settings

    settings = Settings()
    chosen = backbone or settings.backbone or DEFAULT_BACKBONE
    named = tuple(label.strip() for label in labels.split(",")) if labels else ()
    intake = Intake(path, labels=named, backbone=chosen, **given)
    with opened(settings, dry_run=dry_run) as registry:
        brought = bring(registry, intake, actor=settings.actor, say=_say, dry_run=dry_run)
    columns = ("reference", "format", "method", "task", "bytes")
    show(Listing("versions", [plain(one) for one in brought], columns, name="reference"), output)
    say_dry_run(dry_run)


@click.command("export")
@click.argument("references", nargs=-1, required=True, metavar="REF...", shell_complete=complete.references)
@click.option("--as", "format", type=click.Choice(EXPORTED), required=True, help="Whose format.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="The folder to write to.")
@click.option("--backbone", metavar="NAME|FOLDER", help="The model; else the one that the version was trained on.")
@click.option("--byte-compat", is_flag=True, help="With peft's own quirks, down to the byte.")
@click.option("--force", is_flag=True, help="Replace files that are there.")
@output_option
def export_prompt(
    references: tuple[str, ...],
    format: str,
    out: Path,
    backbone: str | None,
    force: bool,
    output: str,
    byte_compat: bool,
) -> None:
    """Write a version in another tool's format.

    It answers there as it does here, or it is refused with the reason: peft puts prompts before
    everything, counts them as positions and reads whatever comes first, so only versions with that
    geometry can go there.

    \b
    peft            a folder for PeftModel.from_pretrained; several of one shared prompt are MPT
    peft-mpt-pack   prompts of a language model, served by peft's task_ids in the order given
    tgis            encoder.pt or decoder.pt
    safetensors     our own file as it is

    \b
    promptctl prompt export mood:1 --as peft --out ./adapter
    promptctl prompt export summary title --as peft-mpt-pack --out ./pack
    """
    from ..access import opened
    from ..exchange import send, write
    from ..settings import Settings

    with opened(Settings()) as registry:
        exported = send(registry, references, format, backbone, byte_compat=byte_compat)
    paths = write(exported, out, force=force)
    for note in exported.notes:
        _say(note)
    files = [{"file": str(path), "bytes": len(exported.files[path.name])} for path in paths]
    show(Listing("files", files, ("file", "bytes"), name="file"), output)


def _say(text: str) -> None:
    click.echo(text, err=True)
