"""The TFX pipeline of a spec as a Python file, which is what TFX's own command takes."""

from __future__ import annotations

from pathlib import Path

from headrace.artifacts.folder import write_text
from headrace.pipelines.tfx_local import Prepared

_TEXT = '''\
"""The TFX pipeline of {name}, as `headrace tfx file` has written it. Needs TFX and headrace in one environment."""

from pathlib import Path

from headrace.pipelines.tfx import converted, tfx_pipeline
from headrace.trainer.tfx.plan import Plan
from tfx.v1 import orchestration

PLAN = Plan.from_json({plan!r})


def create_pipeline():
    return tfx_pipeline(
        PLAN,
        snapshot={snapshot!r},
        root={root!r},
        serving={serving!r},
        metadata=Path({metadata!r}),
        schema={schema},
    )


if __name__ == "__main__":
    orchestration.LocalDagRunner().run(create_pipeline())
'''


def write_file(prepared: Prepared, output: Path) -> None:
    """Writes the file. A run of it shares artifacts, metadata and so the cache with `headrace tfx run`."""
    places, schema = prepared.places, "''"
    if prepared.schema is not None:
        schema = f"converted(Path({str(prepared.schema.absolute())!r}), PLAN, Path({str(places.schema)!r}))"
    text = _TEXT.format(
        name=prepared.plan.name,
        plan=prepared.plan.to_json(),
        snapshot=str(prepared.snapshot.path),
        root=str(places.root),
        serving=str(places.serving),
        metadata=str(places.metadata),
        schema=schema,
    )
    write_text(output, text)
