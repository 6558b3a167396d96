"""`promptctl config`: what every option is set to, and by what."""

from collections.abc import Iterator

import click
from click.core import ParameterSource

from . import defaults
from .options import output_option
from .output import Listing, plain, show

ORIGINS = {ParameterSource.ENVIRONMENT: "environment", ParameterSource.DEFAULT: "default"}


@click.group()
def config() -> None:
    """See the value of every option and where it comes from.

    An option is taken from the command line, else from PROMPTCTL_<COMMAND>_<OPTION>, else from
    ./promptctl.toml, else from the user's config.toml, else from its default. In a file, a command is a
    table.

    \b
    [train]
    epochs = 5
    [prompt.list]
    output = "json"
    """


@config.command("list")
@click.option("--show-origin", is_flag=True, help="Say where each value comes from.")
@output_option
@click.pass_context
def list_options(ctx: click.Context, show_origin: bool, output: str) -> None:
    """List options that have a value.

    \b
    promptctl config list --show-origin
    """
    columns = ("option", "value", "origin") if show_origin else ("option", "value")
    records = [{column: option[column] for column in columns} for option in _options(ctx.find_root(), ())]
    show(Listing("options", records, columns, name="option"), output)


def _options(ctx: click.Context, path: tuple[str, ...]) -> Iterator[dict[str, object]]:
    if isinstance(ctx.command, click.Group):
        for name, command in ctx.command.commands.items():
            with command.make_context(name, [], parent=ctx, resilient_parsing=True) as below:
                yield from _options(below, (*path, name))
    for parameter in ctx.command.params:
        name, value = parameter.name or "", ctx.params.get(parameter.name or "")
        if isinstance(parameter, click.Option) and value not in (None, ()):
            source = ctx.get_parameter_source(name) or ParameterSource.DEFAULT
            origin = ORIGINS.get(source) or defaults.origin((*path, name))
            yield {"option": f"{' '.join(path)} {parameter.opts[-1]}", "value": plain(value), "origin": origin}
