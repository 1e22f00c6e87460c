"""Describes a snapshot in the tfx environment: `python -m headrace.components.statistics SNAPSHOT OUTPUT [SECTION]`."""

import json
import sys
from pathlib import Path

from headrace.artifacts.errors import HeadraceError
from headrace.components.statistics.compute import compute_statistics
from headrace.components.statistics.spec import StatisticsSpec

if __name__ == "__main__":
    dataset, output, *section = sys.argv[1:]
    settings = StatisticsSpec(**json.loads(section[0])) if section else StatisticsSpec()
    try:
        compute_statistics(Path(dataset), Path(output), settings)
    except HeadraceError as error:
        sys.exit(str(error))
