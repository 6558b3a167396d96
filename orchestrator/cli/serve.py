"""`promptctl serve`: one backbone, every promoted prompt."""

import os
from collections.abc import Mapping
from typing import Any

import click

from .options import output_option
from .output import show_one


@click.group(invoke_without_command=True, subcommand_metavar="[COMMAND]")
@click.option("--local", is_flag=True, help="One process on this machine, without Ray.")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(1, 65535), default=8000, show_default=True, help="The port.")
@click.option("--backbone", metavar="NAME|FOLDER", help="The frozen model; else PROMPTCTL_BACKBONE's.")
@click.option("--int8", is_flag=True, help="The backbone in 8 bits, on a CPU; says how far answers agree.")
@click.option("--replicas", metavar="N|MIN:MAX", default="1", show_default=True, help="Processes that answer.")
@click.option("--production", is_flag=True, help="HAProxy in front, in place of Ray's own slow proxy.")
@click.pass_context
def serve(
    ctx: click.Context,
    local: bool,
    host: str,
    port: int,
    backbone: str | None,
    int8: bool,
    replicas: str,
    production: bool,
) -> None:
    """Serve every promoted prompt from one backbone.

    A promotion or a rollback is followed within a second, without a restart. Ctrl-C finishes what is
    running and stops. At any other address than a loopback one, requests need a token, and one has to be
    there: promptctl token create. With MIN:MAX, there are as many replicas as the requests in flight ask for.

    \b
    promptctl serve --local
    promptctl serve --host 0.0.0.0 --port 8080
    promptctl serve --production --replicas 2:8
    """
    if ctx.invoked_subcommand:
        return
    from methods import DEFAULT_BACKBONE
    from serve.config import ServeConfig
    from serve.edge.access import check_guarded
    from serve.replicas.scale import ONE, Scale

    from ..settings import Settings

    scale = Scale.read(replicas)
    if local and (scale != ONE or production):
        raise click.UsageError("--local is one process; --replicas and --production are for Ray")
    settings = Settings()
    config = ServeConfig(
        database_url=settings.database_url,
        store_url=settings.store_url,
        backbone=backbone or settings.backbone or DEFAULT_BACKBONE,
        host=host,
        port=port,
        new_labels=settings.new_labels,
        actor=settings.actor,
        known=settings.home / "known",
        require_signed=settings.require_signed,
        trusted_keys=settings.trusted_keys,
        quantize="int8" if int8 else None,
    )
    check_guarded(config)
    if local:
        from serve import local as locally

        locally.run(config, _say)
    else:
        from serve.replicas import app

        from ..cluster import started

        cluster = started(settings.home, max(2, os.cpu_count() or 1, scale.most))
        app.run(config, _say, cluster, scale, production)


@serve.command()
@click.option("--server", metavar="URL", help="The server; else PROMPTCTL_SERVER's.")
@output_option
def status(server: str | None, output: str) -> None:
    """Show how a running server is.

    \b
    promptctl serve status
    promptctl serve status --server http://gpu-7:8000 -o json
    """
    from serve.client import Client

    from ..settings import Settings

    url = server or Settings().server
    with Client(url) as client:
        said = client.status()
    show_one("status", _short(url, said) if output == "table" else {"server": url} | said, output, name="server")


def _short(url: str, said: Mapping[str, Any]) -> Mapping[str, object]:
    """What a person wants to know first; of splits, refusals and outages only those there are."""
    traffic = said["traffic"]
    short: dict[str, object] = {
        "server": url,
        "ready": said["ready"],
        "epoch": said["epoch"],
        "backbone": said["backbone"]["name"],
        "rows/s": traffic["rows_per_s"],
        "p50 s": traffic["p50_s"],
        "p99 s": traffic["p99_s"],
        "queue tokens": said["waiting_tokens"],
        "bank MiB": said["resident_bytes"] / 2**20,
        "rejected": traffic["rejected"],
    }
    if said["stale_since"]:
        short["stale"] = f"since {said['stale_since']}: {said['stale_reason']}"
    for one in said["splits"]:
        share = f"{one['percent']} %" if one["percent"] else "shadow"
        short[f"split {one['prompt']}@{one['alias']}"] = f"{one['stable']} and {one['candidate']}, {share}"
    for one in said["refused"]:
        short[f"refused {one['prompt']}@{one['alias']}"] = f"{one['version']}: {one['reason']}"
    return short


def _say(text: str) -> None:
    click.echo(text, err=True)
