"""``mementum completion``: a script that completes the commands in a shell."""

from __future__ import annotations

import argparse

from mementum import completion


def add_completion(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
) -> None:
    """Add the command."""
    command = commands.add_parser(
        "completion",
        help="print a script that completes commands in a shell",
        description="Print a script that lets a shell complete commands, options and "
        'names of files. In bash: eval "$(mementum completion bash)". In zsh: eval '
        '"$(mementum completion zsh)", after compinit. In fish: mementum completion '
        "fish | source.",
    )
    command.add_argument("shell", choices=completion.SHELLS, help="which shell")
    command.set_defaults(run=_completion)


def _completion(args: argparse.Namespace) -> int:
    print(completion.script(args.shell), end="")
    return 0
