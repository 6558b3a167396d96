"""`promptctl prompt create` and `prompt render`: prompts in words, and what a model reads of a row."""

import re
import sys
from pathlib import Path

import click

from . import complete
from .options import dry_run_option, output_option, remember, say_dry_run
from .output import Listing, plain, show


@click.command()
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE.toml")
@click.option("--backbone", metavar="NAME|FOLDER", help="The model that will read it; else PROMPTCTL_BACKBONE's.")
@dry_run_option
@output_option
def create(file: Path, backbone: str | None, dry_run: bool, output: str) -> None:
    """Publish a prompt in words.

    Nothing is trained: the model's own language-model head answers, with a word for each label or with
    a text. The version is promoted, rolled back, served and asked like any other. The same file again
    is no new version.

    \b
    name = "mood"
    kind = "classification"                       # or pair, generation; or task = "NAME"
    templates = ["{text} It was {mask}.", "Just {mask}! {text}"]
    weights = [2, 1]
    instruction = "Say what the writer felt."

    \b
    [verbalizer]
    negative = ["bad", "awful"]
    positive = ["good", "great"]

    Demonstrations are examples that you make up. They are part of the prompt, and whoever sees the
    prompt sees them: never copy rows of your data here. seed shuffles them; the last of them are left
    out where a row needs the room.

    \b
    [[demonstrations]]
    text = "I would see it again."
    label = "positive"                            # of a generation: target

    A generation may reason. few-shot: each demonstration has a rationale too, and answer_trigger, by
    default "The answer is", comes before its target. zero-shot: the model is asked twice, as below.
    extract finds "number", "label" or "text"; reasoning_limit and limit count tokens.

    \b
    template = "Q: {text}\\nA:"
    reasoning = "zero-shot"
    trigger = "Let's think step by step."
    answer_trigger = "Therefore, the answer is"

    \b
    promptctl prompt create mood.toml --backbone gpt2 --dry-run
    promptctl prompt create mood.toml --backbone gpt2
    """
    from methods import DEFAULT_BACKBONE

    from ..access import opened
    from ..creation import made, publish
    from ..settings import Settings

    settings = Settings()
    with opened(settings, dry_run=dry_run) as registry:
        artifact = made(registry, file, backbone or settings.backbone or DEFAULT_BACKBONE)
        done = publish(registry, artifact, actor=settings.actor, dry_run=dry_run)
    show(Listing("prompts", [plain(done)], ("prompt", "action", "version"), name="version"), output)
    say_dry_run(dry_run)


@click.command()
@click.argument("reference", shell_complete=complete.references)
@click.option("--text", required=True, metavar="TEXT|-", help="The row's text, or its question; - reads it from stdin.")
@click.option("--text-pair", metavar="TEXT", help="Its second text, or the context of its question.")
@click.option("--backbone", metavar="NAME|FOLDER", help="The model; else the one that the version was made for.")
@click.option("-o", "--output", type=click.Choice(["text", "json", "jsonl", "yaml"]), default="text",
              show_default=True, is_eager=True, callback=remember, help="How to print what is read.")  # fmt: skip
def render(reference: str, text: str, text_pair: str | None, backbone: str | None, output: str) -> None:
    """Print what the model reads of a row.

    One text per pattern, as the tokenizer gives it back: special tokens are shown, the n-th virtual
    token of a trained version is [Pn], and a prefix is nowhere among them. Nothing is kept.

    \b
    promptctl prompt render mood:1 --text "I would see it again."
    promptctl prompt render mood --text - < review.txt
    """
    from ..access import opened
    from ..answering import ready
    from ..reading import rendered
    from ..settings import Settings

    given = sys.stdin.read() if text == "-" else text
    with opened(Settings()) as registry:
        found = rendered(ready(registry, reference, backbone), given, text_pair)
    if output != "text":
        show(Listing("readings", [plain(one) for one in found], ("pattern", "reads")), output)
        return
    for one in found:
        if one.template and len(found) > 1:
            click.echo(f"{one.pattern}: {one.template}", err=True)
        click.echo(_visible(one.reads))
        if one.then:
            click.echo(f"then, behind what it says: {one.then!r}", err=True)


def _visible(text: str) -> str:
    """Without characters that steer a terminal, but for line breaks and tabs."""
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", lambda match: match[0].encode("unicode_escape").decode(), text)
