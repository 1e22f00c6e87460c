"""The queries of the IR's resolvers, of the form that TFX's compiler writes."""

from __future__ import annotations

import re

from headrace.pipelines.local.ir.graph import UnsupportedPipeline

DEMAND = re.compile(
    r"(?P<field>schema_title|state|name|metadata\.(?P<key>\w+)\.(?P<type>number_value|string_value))\s*=\s*"
    r"(?:\"(?P<quoted>[^\"]*)\"|(?P<word>[^\s\"]+))"
)


def check_query(task: str, text: str) -> None:
    """Refuses a query that could not be answered, before anything runs.

    Raises:
        UnsupportedPipeline: it is of another form than those that TFX's compiler writes.
    """
    for part in text.split(" AND "):
        match = DEMAND.fullmatch(part.strip())
        if match is None or (match["field"] == "state" and match["word"] != "LIVE"):
            raise UnsupportedPipeline(
                f"{task}: expected a query by schema_title, state=LIVE, name and metadata. Received: {part.strip()}"
            )
