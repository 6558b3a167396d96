"""`promptctl serve`: one backbone, every promoted prompt."""

import os

import click


@click.command()
@click.option("--local", is_flag=True, help="One process on this machine, without Ray.")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(1, 65535), default=8000, show_default=True, help="The port.")
@click.option("--backbone", metavar="NAME|FOLDER", help="The frozen model; else PROMPTCTL_BACKBONE's.")
def serve(local: bool, host: str, port: int, backbone: str | None) -> None:
    """Serve every promoted prompt from one backbone.

    A promotion or a rollback is followed within a second, without a restart. Ctrl-C finishes what is
    running and stops.

    \b
    promptctl serve --local
    promptctl serve --host 0.0.0.0 --port 8080
    """
    from methods import DEFAULT_BACKBONE
    from serve.config import ServeConfig

    from ..settings import Settings

    settings = Settings()
    config = ServeConfig(
        database_url=settings.database_url,
        store_url=settings.store_url,
        backbone=backbone or settings.backbone or DEFAULT_BACKBONE,
        host=host,
        port=port,
        new_labels=settings.new_labels,
        actor=settings.actor,
    )
    if local:
        from serve import local as locally

        locally.run(config, _say)
    else:
        from serve import app

        from ..cluster import started

        app.run(config, _say, started(settings.home, max(2, os.cpu_count() or 1)))


def _say(text: str) -> None:
    click.echo(text, err=True)
