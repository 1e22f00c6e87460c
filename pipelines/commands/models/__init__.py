"""`headrace models`: what was registered, what serves, who said so. Each command is imported when it is called."""

from __future__ import annotations

import difflib
import importlib
from pathlib import Path
from typing import Any

import click

from headrace.pipelines.commands.options import home_option

# name -> (module in this folder, its one line in `headrace models --help`); a module with several has each by its name
COMMANDS = {
    "list": ("list", "List the models, or the versions of one."),
    "show": ("show", "Show a version: state, approvals, metrics, history."),
    "compare": ("compare", "Hold two versions against each other."),
    "card": ("card", "Show a version's model card."),
    "report": ("report", "Write a page over all models, with their cards."),
    "approve": ("decide", "Say yes to a version that passed its gates."),
    "reject": ("decide", "Say no to a version."),
    "archive": ("decide", "Put a version away."),
    "restore": ("decide", "Take back a rejection, or take a version out of the archive."),
    "promote": ("promote", "Put a version into service."),
    "split": ("split", "Share an endpoint's traffic between versions; shadows."),
    "endpoints": ("split", "List what is behind each endpoint."),
    "sync": ("sync", "Make the cluster serve what the registry says."),
    "rollback": ("promote", "Serve the version again that served before."),
    "policy": ("policy", "Show or set how many approvals a model asks for."),
    "download": ("download", "Copy a version's bundle to a folder."),
    "audit": ("audit", "Show the audit log, and verify it."),
}


class ModelCommands(click.Group):
    """A group of which `headrace models` alone lists, and `headrace models NAME` lists or shows what is registered."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module = importlib.import_module(f"headrace.pipelines.commands.models.{COMMANDS[name][0]}")
        command: click.Command = getattr(module, name, None) or module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        own = 2 if args[:1] == ["--home"] else 1 if args and args[0].startswith("--home=") else 0
        rest = args[own:]
        if not (rest and rest[0] in (*COMMANDS, "-h", "--help")):
            near = difflib.get_close_matches(rest[0], COMMANDS, n=1, cutoff=0.75) if len(rest) > 1 else []
            if near and not rest[0].startswith("-"):
                ctx.fail(f"No such command {rest[0]!r}; did you mean {near[0]!r}?")
            version = bool(rest) and ":" in rest[0]
            args = [*args[:own], "show" if version else "list", *rest]
        return super().parse_args(ctx, args)


@click.group("models", cls=ModelCommands)
@home_option
@click.pass_context
def command(ctx: click.Context, home: Path) -> Any:
    """List, show, compare, approve, promote and roll back what was registered.

    MODEL is a model's name; VERSION is one with its version or alias: churn:3, churn:champion. Without a command, all
    models are listed; `headrace models MODEL` lists its versions, `headrace models VERSION` shows one.
    """
