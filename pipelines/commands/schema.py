"""`headrace schema`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.commands.options import home_option, spec_argument

if TYPE_CHECKING:
    from headrace.pipelines.schema.found import Described
    from headrace.pipelines.schema.widen import Excess


@click.group("schema")
def command() -> None:
    """What the data must look like: infer it, look at it, curate it. It is committed beside the spec."""


@command.command("accept")
@spec_argument
@click.option("--run", "run_id", help="The run whose schema to take. [default: the spec's latest that has one]")
@click.option("--force", is_flag=True, help="Replace the schema that is there.")
@home_option
def accept(spec: Path, run_id: str | None, force: bool, home: Path) -> None:
    """Copy the schema that a run used to where SPEC says its schema is."""
    from headrace.artifacts.folder import write_text
    from headrace.artifacts.schema import FILE, read_schema
    from headrace.pipelines.local.record.record import list_runs, load_run
    from headrace.pipelines.spec import load_spec

    loaded = load_spec(spec)
    target = _free(spec.parent / loaded.validation.schema_file, force)
    candidates = [run_id] if run_id else [run.id for run in list_runs(home) if run.name == loaded.name]
    for candidate in candidates:
        for task in load_run(home, candidate).tasks.values():
            for artifact in task.artifacts.get("schema", ()):
                if task.name == "examine" and artifact.path and artifact.path.exists():
                    read_schema(artifact.path)
                    write_text(target, (artifact.path / FILE).read_text(encoding="utf-8"))
                    click.echo(f"{target}: the schema of run {candidate}. Review it, and commit it beside the spec.")
                    return
    raise HeadraceError(
        f"{home}: expected a run of {loaded.name} with a schema. Received: none; `headrace run {spec}` first"
    )


@command.command("infer")
@spec_argument
@click.option("--run", "run_id", help="Infer from this run's data. [default: the source is read now]")
@click.option("--source", help="Infer from this file, glob or URL instead of the spec's.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="[default: where SPEC says]")
@click.option("--force", is_flag=True, help="Replace the schema that is there.")
@home_option
def infer(spec: Path, run_id: str | None, source: str | None, output: Path | None, force: bool, home: Path) -> None:
    """Write a first schema for SPEC, inferred from its source, another one, or a run's data."""
    from headrace.artifacts.schema import write_schema_file
    from headrace.components.examine.infer import infer_schema
    from headrace.pipelines.schema.found import described_by_run, described_now
    from headrace.pipelines.spec import load_spec

    if run_id and source:
        raise click.UsageError("expected --run or --source. Received: both")
    loaded = load_spec(spec)
    target = _free(output or spec.parent / loaded.validation.schema_file, force)
    if run_id:
        found = described_by_run(home, run_id)
        schema = infer_schema(found.statistics, found.info)
    else:
        with described_now(spec, loaded, source) as found:
            schema = infer_schema(found.statistics, found.info)
    write_schema_file(target, schema)
    click.echo(f"{target}: inferred from {found.source}, {len(schema.feature)} features. Review it, and commit it.")


@command.command("show")
@click.argument("schema", default=".")
@home_option
def show(schema: str, home: Path) -> None:
    """Show SCHEMA as a table: of a spec (by default ./spec.yaml), a schema's file, or a run."""
    from headrace.pipelines.schema.found import load
    from headrace.pipelines.schema.words import table

    name, loaded = load(schema, home)
    click.echo(f"{name}: {len(loaded.feature)} features")
    for line in table(loaded):
        click.echo(line)


@command.command("diff")
@click.argument("old")
@click.argument("new", required=False)
@click.option("--data", metavar="RUN", help="What would be found if this run's data were held against OLD.")
@home_option
def diff(old: str, new: str | None, data: str | None, home: Path) -> None:
    """Tell what differs between two schemas, each of a spec, a schema's file or a run; or between one and data.

    Exits with 1 where something differs.
    """
    from headrace.pipelines.schema.found import departures, described_by_run, load
    from headrace.pipelines.schema.words import differences

    if (new is None) == (data is None):
        received = "neither" if new is None else "both"
        raise click.UsageError(f"expected either NEW, another schema, or --data RUN. Received: {received}")
    name, before = load(old, home)
    if new is not None:
        other, after = load(new, home)
        lines = differences(before, after)
    else:
        described = described_by_run(home, str(data))
        other = f"the data of {described.source}"
        lines = [f"{found['level']}: {found['line']}" for found in departures(described, before)]
    for line in lines or [f"{name} and {other}: no difference"]:
        click.echo(line)
    sys.exit(1 if lines else 0)


@command.command("update")
@spec_argument
@click.option("--run", "run_id", default="latest", show_default=True, help="The run whose data to widen it by.")
@click.option(
    "--feature", "features", multiple=True, help="Widen this feature; may be repeated. [default: ask for each]"
)
@click.option("--new", "widen_new", is_flag=True, help="Add the column, as it would be inferred.")
@click.option("--type", "widen_type", is_flag=True, help="Take over the type.")
@click.option("--presence", "widen_presence", is_flag=True, help="Let as many values be missing.")
@click.option("--domain", "widen_domain", is_flag=True, help="Add the unlisted values.")
@click.option("--range", "widen_range", is_flag=True, help="Widen the range.")
@home_option
def update(spec: Path, run_id: str, features: tuple[str, ...], home: Path, **widen: bool) -> None:
    """Widen the schema of SPEC by what a run found: what is named, or what is confirmed one by one.

    `headrace schema update SPEC --feature plan --domain` adds the values of `plan` that were not listed.
    """
    from headrace.artifacts.schema import parse_schema
    from headrace.pipelines.schema.found import committed, described_by_run
    from headrace.pipelines.schema.widen import find_excess

    kinds = [name.removeprefix("widen_") for name, wanted in widen.items() if wanted]
    file = committed(spec)
    text = file.read_text(encoding="utf-8")
    schema = parse_schema(text, str(file))
    described = described_by_run(home, run_id)
    _known(features, schema, described)
    found = [
        e for e in find_excess(schema, described.statistics, described.info) if not features or e.feature in features
    ]
    found = [excess for excess in found if not kinds or excess.kind in kinds]
    if not found:
        click.echo(f"{described.source}: nothing that is asked for goes beyond {file}")
        return
    chosen = found if features and kinds else _confirmed(found)
    for excess in chosen:
        excess.apply(schema)
    _rewrite(file, text, schema, [f"{excess.feature} {excess.text}" for excess in chosen])


@command.command("edit")
@spec_argument
@click.argument("feature")
@click.option("--required/--optional", default=None, help="In every row; or it may be missing everywhere.")
@click.option("--presence", type=click.FloatRange(0, 1), help="Least share of the rows that has the value.")
@click.option(
    "--type", type=click.Choice(["FLOAT", "INT", "BYTES"]), help="FLOAT takes whole numbers too; BYTES is text."
)
@click.option("--domain", metavar="A,B,...", help="The values it may have; `off` for any.")
@click.option("--add-value", "values", multiple=True, help="One more value; may be repeated, and have commas.")
@click.option("--min-domain-mass", type=click.FloatRange(0, 1), help="Least share of the rows with listed values.")
@click.option("--range", "bounds", metavar="LOW:HIGH", help="Bounds; either may be left out; `off` for none.")
@click.option("--drift", metavar="THRESHOLD", help="How far its distribution may move from the last model's; or `off`.")
@click.option("--skew", metavar="THRESHOLD", help="How far it may be from what serving sees; or `off`.")
@click.option(
    "--not-at-serving/--at-serving", default=None, help="It is absent when the model is asked, as the label is."
)
@click.option("--deprecated/--not-deprecated", default=None, help="It may be absent, and is no longer checked.")
def edit(spec: Path, feature: str, **options: Any) -> None:
    """Set what the schema of SPEC asks of FEATURE. Comments and order of the file stay."""
    from headrace.artifacts.schema import parse_schema
    from headrace.pipelines.schema.edit import edit_feature
    from headrace.pipelines.schema.found import committed
    from headrace.pipelines.schema.words import differences

    wanted = _edit(options)
    file = committed(spec)
    text = file.read_text(encoding="utf-8")
    schema = parse_schema(text, str(file))
    edit_feature(schema, feature, wanted)
    _rewrite(file, text, schema, differences(parse_schema(text), schema))


def _edit(options: dict[str, Any]) -> Any:
    from headrace.pipelines.schema.edit import OFF, Edit

    if all(value is None or value == () for value in options.values()):
        raise click.UsageError("expected something to set, such as --required. Received: no option")
    if options["required"] is not None and options["presence"] is not None:
        raise click.UsageError("expected --presence or --required or --optional. Received: two of them")
    domain, away = options["domain"], options["not_at_serving"]
    return Edit(
        type=options["type"],
        presence=options["presence"] if options["required"] is None else float(options["required"]),
        domain=None if domain is None else [] if domain == OFF else [value.strip() for value in domain.split(",")],
        add_values=list(options["values"]),
        min_domain_mass=options["min_domain_mass"],
        range=None if options["bounds"] is None else _bounds(options["bounds"]),
        drift=_threshold("--drift", options["drift"]),
        skew=_threshold("--skew", options["skew"]),
        at_serving=None if away is None else not away,
        deprecated=options["deprecated"],
    )


def _bounds(text: str) -> tuple[float | None, float | None]:
    if text == "off":
        return None, None
    low, colon, high = text.partition(":")
    try:
        bounds = float(low) if low else None, float(high) if high else None
    except ValueError:
        colon = ""
    if not colon or bounds == (None, None):
        raise click.UsageError(f"--range: expected LOW:HIGH, such as 0:120 or 0: or :120. Received: {text}")
    if bounds[0] is not None and bounds[1] is not None and bounds[0] > bounds[1]:
        raise click.UsageError(f"--range: expected the lower bound first. Received: {text}")
    return bounds


def _threshold(option: str, text: str | None) -> float | str | None:
    if text is None or text == "off":
        return text
    try:
        threshold = float(text)
    except ValueError:
        threshold = -1
    if not 0 < threshold <= 1:
        raise click.UsageError(f"{option}: expected a threshold above 0 and up to 1, or `off`. Received: {text}")
    return threshold


def _known(features: tuple[str, ...], schema: Any, described: Described) -> None:
    from headrace.artifacts.errors import nearest_column

    names = list(dict.fromkeys([f.name for f in schema.feature] + [c.name for c in described.statistics.columns]))
    for name in features:
        if name not in names:
            raise HeadraceError(
                f"--feature: expected a feature or a column. Received: `{name}`; {nearest_column(name, names)}"
            )


def _confirmed(found: list[Excess]) -> list[Excess]:
    """What a person says yes to; where nobody can be asked, an error that lists what there is."""
    if not sys.stdin.isatty():
        lines = "\n".join(f"  --feature {excess.feature} --{excess.kind}: {excess.text}" for excess in found)
        raise HeadraceError(f"expected to be told what to widen, by --feature and a kind. Received: neither\n{lines}")
    return [excess for excess in found if click.confirm(f"{excess.feature} {excess.text}?")]


def _free(target: Path, force: bool) -> Path:
    if target.exists() and not force:
        raise HeadraceError(f"{target}: expected no schema there yet. Received: one; --force replaces it")
    return target


def _rewrite(file: Path, text: str, schema: Any, said: list[str]) -> None:
    from headrace.artifacts.folder import write_text
    from headrace.pipelines.schema.text import rewritten

    new = rewritten(text, schema)
    if new == text:
        click.echo(f"{file}: nothing changed")
        return
    write_text(file, new)
    for line in said:
        click.echo(line)
    click.echo(f"{file}: written. Review it, and commit it.")
