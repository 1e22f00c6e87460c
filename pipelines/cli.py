"""The command `headrace`. Each subcommand lives in `commands/` and is imported only when it is called."""

from __future__ import annotations

import atexit
import importlib
import io
import os
import sys
from collections.abc import Sequence
from typing import Any

from headrace.pipelines import interrupt

if interrupt.is_command():
    interrupt.heed()  # before anything is imported that takes a while
    atexit.register(interrupt.leave)  # the first of all, and so the last to be called

import click

from headrace import __version__
from headrace.artifacts.errors import HeadraceError

# name -> its one line in `headrace --help`; its module in commands/ has the same name, with _ for -
COMMANDS = {
    "init": "Write a spec for a table or for pictures.",
    "doctor": "Check this machine, or your Kubeflow or Vertex AI, and say what is missing.",
    "validate": "Check a spec and its source, in a second or two.",
    "compile": "Compile a spec to Kubeflow Pipelines IR.",
    "run": "Run a spec's pipeline on this machine.",
    "submit": "Run a spec's pipeline on Kubeflow or on Vertex AI.",
    "tfx": "The same training made of TFX's own components: run, compile, file, register.",
    "resume": "Go on with a run that failed, was cancelled or killed.",
    "watch": "Start pipelines on new files, messages, or at certain hours.",
    "runs": "List the runs.",
    "show": "Show a run: its graph, metrics, artifacts, lineage.",
    "logs": "Print what tasks of a run printed, also while it runs.",
    "diff": "Tell what differed between two runs.",
    "experiments": "List, show and compare tracked runs; MLflow's pages over them.",
    "store": "Verify what runs have put out, and remove what is not needed.",
    "data": "List, show, compare, take out and verify data versions.",
    "schema": "Infer, show, compare, widen and edit what the data must look like.",
    "models": "List, compare, approve, promote and roll back registered models; the audit log.",
    "reproduce": "Train a registered model again from its snapshot, and compare.",
    "serve": "Serve a model or an endpoint.",
    "rollout": "Give a new version more and more of the traffic, or take it back.",
    "predict": "Ask an endpoint for predictions.",
    "batch-predict": "Answer every row of a file, a folder, a query; any size.",
    "stream": "Answer the messages of Redis Streams, Kafka or Pub/Sub.",
    "emulator": "Vertex AI, Kubeflow Pipelines and Cloud Storage on this machine, for their own clients.",
}
# What stands in front of the pipelines, and which they may therefore not import, is known to them by its name only.
ELSEWHERE = {"emulator": "headrace.emulator.command"}


class Commands(click.Group):
    """A group that knows its commands by name, and imports one when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        place = ELSEWHERE.get(name, f"headrace.pipelines.commands.{name.replace('-', '_')}")
        module = importlib.import_module(place)
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        import difflib

        near = difflib.get_close_matches(args[0], COMMANDS, n=1)
        if args[0] not in COMMANDS and near and not args[0].startswith("-"):
            ctx.fail(f"No such command {args[0]!r}; did you mean {near[0]!r}?")
        return super().resolve_command(ctx, args)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="headrace")
@click.option("--debug", is_flag=True, help="Show tracebacks of errors.")
def cli(debug: bool) -> None:
    """From a table and a short YAML file to a governed, served, monitored model."""
    if debug:
        os.environ["HEADRACE_DEBUG"] = "1"


def main(arguments: Sequence[str] | None = None) -> Any:
    """Runs the command line; an error that the user can put right is one message and an exit code."""
    try:
        code = _main(arguments)
    except SystemExit as end:
        interrupt.ended(end.code)
        raise
    interrupt.ended(code)
    return code


def _main(arguments: Sequence[str] | None) -> Any:
    for stream in (sys.stdout, sys.stderr):  # a character that the terminal lacks is no reason to end
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="replace")
    try:
        return cli.main(args=arguments, prog_name="headrace", standalone_mode=False)
    except click.exceptions.Abort as abort:  # what click makes of a KeyboardInterrupt
        return _end("interrupted", getattr(abort.__cause__, "exit_code", 130))
    except KeyboardInterrupt:
        return _end("interrupted", 130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except HeadraceError as error:
        if os.environ.get("HEADRACE_DEBUG"):
            raise
        return _end(str(error), error.exit_code)
    except BrokenPipeError:  # `headrace runs | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except OSError as error:
        if os.environ.get("HEADRACE_DEBUG"):
            raise
        why = error.strerror or str(error)
        if error.filename:
            why = f"{error.filename}: expected what can be read and written. Received: {why[:1].lower()}{why[1:]}"
        return _end(why, 1)


def _end(message: str, code: int) -> Any:
    for line in message.splitlines() or [""]:
        click.echo(f"headrace: {line}", err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
