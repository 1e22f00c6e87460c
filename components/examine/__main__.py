"""Holds statistics against a schema, in the tfx environment: `python -m headrace.components.examine STATISTICS SCHEMA`.

Prints what departs, as JSON: [{"where": column, "level": "error" | "warn", "line": text}, ...].
"""

import json
import sys

from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.schema import read_schema_file
from headrace.artifacts.statistics import read_statistics
from headrace.components.examine.anomalies import find_anomalies
from headrace.components.examine.words import findings

if __name__ == "__main__":
    try:
        schema = read_schema_file(sys.argv[2])
        found = findings(find_anomalies(read_statistics(sys.argv[1]), schema), schema)
    except HeadraceError as error:
        sys.exit(str(error))
    print(json.dumps([{"where": f.where, "level": f.level, "line": f.line()} for f in found]))
