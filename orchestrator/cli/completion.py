"""`promptctl completion`: scripts for shells."""

import click

SHELLS = ("bash", "zsh", "fish", "powershell")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script of a shell.

    Commands, options, tasks, prompts, versions and aliases are completed.

    \b
    eval "$(promptctl completion bash)"                                  in ~/.bashrc
    eval "$(promptctl completion zsh)"                                   in ~/.zshrc
    promptctl completion fish > ~/.config/fish/completions/promptctl.fish
    promptctl completion powershell >> $PROFILE
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"no completion for {shell}")
    click.echo(kind(ctx.find_root().command, {}, "promptctl", "_PROMPTCTL_COMPLETE").source())
