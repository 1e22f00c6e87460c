"""`headrace data`."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.commands.options import home_option, spec_argument

if TYPE_CHECKING:
    from headrace.pipelines.data_versions.inventory import DataVersion
    from headrace.pipelines.data_versions.of_models import Trained
    from headrace.pipelines.local.record.record import Record

json_option = click.option("--json", "as_json", is_flag=True, help="For machines; complete.")


@click.group("data")
def command() -> None:
    """List, show, compare, take out and verify data versions.

    A VERSION is a digest or its beginning (8 digits), a run (`latest`, an id) for the snapshot which that run used,
    MODEL:VERSION for the one that model was trained from, or a folder that a version was checked out to.
    """


@command.command("list")
@json_option
@home_option
def list_command(as_json: bool, home: Path) -> None:
    """List the data versions, the latest first."""
    from headrace.pipelines.data_versions.show_text import list_text, version_json
    from headrace.pipelines.local.views.json_view import dumps

    with known(home) as here:
        if as_json:
            for version in here.versions:
                click.echo(dumps(version_json(version)))
        elif not here.versions:
            click.echo(f"There is no data version in {home} yet: headrace run SPEC", err=True)
        else:
            for line in list_text(here.versions):
                click.echo(line)


@command.command("show")
@click.argument("version", default="latest")
@json_option
@home_option
def show_command(version: str, as_json: bool, home: Path) -> None:
    """Show VERSION, by default the latest run's.

    Its columns and types, rows and splits, what was coerced and rejected, its origin, and the models trained from it.
    """
    from headrace.pipelines.data_versions.show_text import show_text, version_json
    from headrace.pipelines.local.views.json_view import dumps

    with known(home) as here:
        found = here.find(version)
        if as_json:
            click.echo(dumps(version_json(found, found.open(verify=False).info if found.there else None), indent=2))
            return
        info = found.open(verify=False).info
        later = [other for other in here.versions if other.there and other.digest != found.digest]
        extended_by = [other.digest for other in later if _extends(other) == found.digest]
        for line in show_text(found, info, extended_by):
            click.echo(line)


@command.command("diff")
@click.argument("before", metavar="VERSION")
@click.argument("after", metavar="VERSION", default="latest")
@click.option("--all", "whole", is_flag=True, help="Leave nothing out, however long it is.")
@click.option("--html", "page", type=click.Path(dir_okay=False, path_type=Path), help="Also write a page with charts.")
@json_option
@home_option
def diff_command(before: str, after: str, whole: bool, page: Path | None, as_json: bool, home: Path) -> None:
    """Tell what changed between two versions.

    The second VERSION is the latest run's where none is given.

    That is: columns, rows (by their id, where there is one), splits, and the distribution of every column. Rows of
    train that are in eval or test now are named as an error: a model of the earlier version has learned from them.
    """
    from headrace.pipelines.data_versions.diff import diff_data, diff_json
    from headrace.pipelines.data_versions.diff_text import diff_text
    from headrace.pipelines.local.views.json_view import dumps

    with known(home) as here:
        versions = [here.find(text) for text in (before, after)]
        # Verified: what is compared are the versions, and not what has become of their files.
        old, new = (version.open() for version in versions)
        found = diff_data(old, new, home if home.is_dir() else Path(tempfile.gettempdir()))
    if page is not None:
        from headrace.artifacts import report
        from headrace.pipelines.data_versions.diff_page import diff_page

        report.write(page, diff_page(found))
    if as_json:
        click.echo(dumps(diff_json(found), indent=2))
        return
    for line in diff_text(found, whole):
        click.echo(line)
    if page is not None:
        click.echo(f"\nPage: {page}")


@command.command("checkout")
@click.argument("version")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--format",
    "shape",
    type=click.Choice(["snapshot", "parquet", "csv"]),
    default="snapshot",
    show_default=True,
    help="The snapshot as it is, with its manifest, or a plain table for each split.",
)
@home_option
def checkout_command(version: str, folder: Path, shape: str, home: Path) -> None:
    """Copy VERSION to FOLDER, verified.

    It is there at once or not at all, and a filled folder is refused.
    """
    from headrace.pipelines.data_versions.checkout import check_out

    with known(home) as here:
        found = here.find(version)
        files = check_out(found.open(verify=False), folder, shape)  # type: ignore[arg-type]  # click has checked it
    rows = sum(found.rows.values())
    click.echo(f"{folder}: {len(files)} files, {rows:,} rows of {found.digest}")


@command.command("complete")
@spec_argument
@click.argument("rows")
@click.argument("output", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--at", metavar="MOMENT", help="Before it child rows count; `now`, or 2026-06-30 or with a time (UTC).")
def complete_command(spec: Path, rows: str, output: Path, at: str | None) -> None:
    """Give ROWS that are to be scored the columns that SPEC joins and aggregates, and write them to OUTPUT.

    The same definition as in training: a row sees what was there before its own time, or before --at.
    """
    from headrace.pipelines.scoring_rows import complete_rows

    count, notes = complete_rows(spec, rows, output, moment(at) if at else None)
    for note in notes:
        click.echo(f"note: {note}", err=True)
    click.echo(f"{output}: {count:,} rows")


def moment(text: str) -> datetime:
    """A moment in UTC, without a zone.

    Raises:
        HeadraceError: the text is none.
    """
    if text == "now":
        return datetime.now(UTC).replace(tzinfo=None)
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise HeadraceError(f"--at: expected `now`, or a moment such as 2026-06-30T18:00. Received: {text}") from None
    return found.astimezone(UTC).replace(tzinfo=None) if found.tzinfo else found


@command.command("verify")
@click.argument("version", required=False)
@home_option
def verify_command(version: str | None, home: Path) -> None:
    """Compare files with their hashes.

    Those of VERSION, or of all versions. Exits with 1 when one is damaged.
    """
    from headrace.pipelines.commands.store import size_text
    from headrace.pipelines.data_versions.verifying import verify_versions

    with known(home) as here:
        wanted = [here.find(version)] if version else here.versions
        if version and not wanted[0].there:
            wanted[0].open()  # says that it is gone
        found = verify_versions(wanted)
        lost = [one for one in wanted if one.models and not one.there]
    good = [one for one in found if not one.damage]
    click.echo(f"{len(good)} of {len(found)} whole, {size_text(sum(one.bytes for one in good))} read")
    for one in found:
        if one.damage:
            click.echo(f"{one.version.digest[:19]}: {one.damage}", err=True)
    for gone in lost:
        click.echo(f"warning: {', '.join(gone.models)} cannot be trained again: {gone.digest} is not here", err=True)
    if len(good) < len(found):
        repair = "" if version and Path(version).is_dir() else "; `headrace store verify --repair` takes them out"
        raise HeadraceError(f"{len(found) - len(good)} damaged{repair}")


@dataclass(frozen=True)
class Known:
    """What a home knows of data versions and models."""

    versions: list[DataVersion]
    models: list[Trained]
    record: Record | None

    def find(self, text: str) -> DataVersion:
        """The version that a text means."""
        from headrace.pipelines.data_versions.finding import find_version

        return find_version(text, self.versions, self.record, self.models)


@contextlib.contextmanager
def known(home: Path) -> Iterator[Known]:
    """The data versions of a home. Within the block nothing is removed from its store."""
    from headrace.pipelines.data_versions.inventory import known_versions
    from headrace.pipelines.data_versions.of_models import trained_models
    from headrace.pipelines.local.record.record import Record
    from headrace.pipelines.local.store.lock import shared
    from headrace.platforms.open import open_platform

    if not home.is_dir():  # a folder of a snapshot may still be asked about
        yield Known([], [], None)
        return
    models = trained_models(open_platform("local", home)) if (home / "registry.db").exists() else []
    with contextlib.ExitStack() as stack:
        stack.enter_context(shared(home))
        record = None
        if (home / "runs.db").exists():
            record = stack.enter_context(contextlib.closing(Record(home)))
        yield Known(known_versions(record, models), models, record)


def _extends(version: DataVersion) -> str | None:
    try:
        return version.open(verify=False).info.extends
    except HeadraceError:
        return None  # a damaged one: `verify` says so
