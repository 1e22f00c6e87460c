"""The step as a whole: a snapshot in; findings about its rows, and what the report needs of them, out."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from headrace.artifacts.dataset import Dataset
from headrace.artifacts.findings import Findings, sort_findings, write_findings
from headrace.components.check.associations import MOST_COLUMNS, associations
from headrace.components.check.classes import count_classes, find_rare_classes
from headrace.components.check.custom import find_by_custom_checks
from headrace.components.check.images import profile_images
from headrace.components.check.repeated import find_repeated
from headrace.components.check.rows import connect, feature_names, sample
from headrace.components.check.suspects import Suspects, find_suspects
from headrace.components.validate.spec import ValidateSpec

SAMPLE_CELLS = 2_000_000  # of a sample: the more columns, the fewer rows
SAMPLE_ROWS = 40_000


def check_rows(
    dataset: Path | str, output: Path | str, settings: ValidateSpec | None = None, dropped: Collection[str] = ()
) -> Findings:
    """Looks at the rows of a snapshot, and writes what it finds to `output`; it never fails on the data.

    Args:
        dataset: the snapshot's folder.
        output: where the findings' folder goes.
        settings: the `validate` section of the spec, its functions embedded.
        dropped: columns that are no features, and so no suspects.

    Raises:
        ArtifactError: the snapshot is damaged, or `output` is taken.
    """
    settings = settings or ValidateSpec()
    snapshot = Dataset.open(dataset)
    with connect() as connection:
        repeated = find_repeated(connection, snapshot, settings, list(dropped))
        classes = count_classes(connection, snapshot)
        rare = find_rare_classes(classes, snapshot.info.label, settings)
        features = feature_names(snapshot.info, dropped)
        most = max(1_000, min(SAMPLE_ROWS, SAMPLE_CELLS // max(len(features), 1)))
        columns = [*features, snapshot.info.label]
        table = sample(connection, snapshot, "train", columns, most)
        images = profile_images(connection, snapshot)
    # Of an image's columns (path, size, format) none is a feature.
    suspects = Suspects() if images else find_suspects(table, snapshot.info, features, settings)
    custom = find_by_custom_checks(snapshot, settings.checks)
    strongest = sorted(features, key=lambda name: -suspects.powers.get(name, 0.0))[:MOST_COLUMNS]
    profile: dict[str, Any] = {
        "sample_rows": table.num_rows,
        "powers": {name: round(value, 4) for name, value in suspects.powers.items()},
        "measure": suspects.measure,
        "classes": classes,
        "associations": {} if images else associations(table, [name for name in features if name in strongest]),
        "images": images,
    }
    notes = [suspects.note] if suspects.note else []
    found = sort_findings([*repeated, *rare, *suspects.found, *custom])
    findings = Findings(snapshot.digest, found, notes, profile)
    write_findings(output, findings)
    for finding in found:
        print(f"{finding.level}: {finding.line()}")
    return findings
