"""The compiled pipeline of a spec, compiled anew only when the spec, its schema or our code changed."""

from __future__ import annotations

import gc
import hashlib
import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace import __version__
from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.folder import write_json
from headrace.components import images
from headrace.components.fingerprint.url import absolute
from headrace.pipelines.local.workers.environments import digest

if TYPE_CHECKING:
    from headrace.pipelines.spec import Spec

_CODE = ("pipelines/*.py", *(f"{folder}/**/*.py" for folder in ("artifacts", "components", "platforms", "trainer")))


@dataclass(frozen=True)
class Compiled:
    """A pipeline that can be run.

    Attributes:
        name: the model's, or the pipeline's.
        ir: the pipeline spec, as plain data; with its platform spec where it was compiled with one.
        parameters: what this machine adds: the source, and logged requests, as paths that can be opened from anywhere.
        schema: where the committed schema should be; None for a pipeline that was compiled elsewhere.
        has_schema: whether it was there.
        incremental: whether it adds to a previous snapshot.
    """

    name: str
    ir: dict[str, Any]
    parameters: dict[str, Any]
    schema: Path | None = None
    has_schema: bool = False
    incremental: bool = False


def compiled(file: Path, home: Path, on_spec: Callable[[], object] = lambda: None) -> Compiled:
    """Loads a compiled pipeline, or compiles a spec.

    Args:
        file: a spec, or a pipeline that was compiled before.
        home: keeps what was compiled.
        on_spec: called once it is a spec without mistakes, before it is compiled, which takes a while.

    Raises:
        HeadraceError: the file is neither, or the spec has a mistake.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise HeadraceError(f"{file}: expected a spec or a compiled pipeline. Received: {error.strerror}") from None
    if b"deploymentSpec" in content:
        from headrace.pipelines.pipeline_file import load_pipeline

        ir = load_pipeline(file)
        info = ir.get("pipelineSpec", ir).get("pipelineInfo", {})
        return Compiled(str(info.get("name", file.stem)), ir, {})
    schema_folder = file.parent
    cache = home / "compiled" / f"{_key(content)}.json"
    if cache.exists():
        entry = json.loads(cache.read_text())
        if _digests(schema_folder, entry["beside"]) == entry["beside"]:
            on_spec()
            return _ready(entry, file, schema_folder / entry["schema"])
    return _compile(file, cache, on_spec)


def _compile(file: Path, cache: Path, on_spec: Callable[[], object]) -> Compiled:
    from headrace.pipelines.spec import load_spec

    spec = load_spec(file)
    on_spec()
    gc.disable()  # importing KFP makes a hundred thousand objects and no garbage: collecting takes a third of its time
    try:
        return _compile_now(spec, file, cache)
    finally:
        gc.enable()


def _compile_now(spec: Spec, file: Path, cache: Path) -> Compiled:
    from headrace.components.check.function_check import function_files
    from headrace.components.train.own_module import module_files
    from headrace.components.train.weights_file import weights_files
    from headrace.pipelines.compile import schema_text, training_ir, with_functions
    from headrace.pipelines.local.store.attempts import disk_full_is_clear
    from headrace.pipelines.pipeline_file import parse_pipeline

    schema = file.parent / spec.validation.schema_file
    of_training = [*module_files(spec.train), *weights_files(spec.train)]
    beside = _digests(file.parent, [spec.validation.schema_file, *function_files(spec.validation), *of_training])
    text = training_ir(with_functions(spec, file), schema_text(spec, file))
    entry = {
        "name": spec.name,
        "source": spec.data.source,
        "schema": spec.validation.schema_file,
        "beside": beside,
        "joins": bool(spec.data.join or spec.features.aggregate),
        "requests": spec.validation.requests,
        "incremental": spec.data.watermark is not None,
        "ir": parse_pipeline(text, file),
    }
    with disk_full_is_clear(cache.parent.parent):
        cache.parent.mkdir(parents=True, exist_ok=True)
        write_json(cache, entry)
    return _ready(entry, file, schema)


def _ready(entry: dict[str, Any], file: Path, schema: Path) -> Compiled:
    source = resolve_source(entry["source"], file)
    parameters = {"source": source} | ({"folder": str(file.resolve().parent)} if entry["joins"] else {})
    if entry["requests"]:
        parameters["requests"] = absolute(entry["requests"], file.resolve().parent)
    return Compiled(entry["name"], entry["ir"], parameters, schema, schema.exists(), entry["incremental"])


def resolve_source(source: str | list[str], spec_file: Path) -> str:
    """The source as it can be opened from anywhere: relative paths lie beside the spec; of several, a list as JSON."""
    folder = spec_file.resolve().parent
    return (
        absolute(source, folder) if isinstance(source, str) else json.dumps([absolute(one, folder) for one in source])
    )


def _key(content: bytes) -> str:
    """Digest of everything a compilation depends on, but for the files beside the spec, which only it can name."""
    root = Path(__file__).resolve().parent.parent
    code = hashlib.sha256(f"{__version__} {digest(Path(sys.prefix))}".encode() + content)
    for pattern in _CODE:
        for path in sorted(root.glob(pattern)):
            code.update(path.read_bytes())
    code.update(json.dumps(images.named()).encode())
    return code.hexdigest()


def _digests(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """The digest of each file beside the spec, by its name: the schema, the functions of checks; empty for none."""
    files = {name: folder / name for name in names}
    return {n: hashlib.sha256(f.read_bytes()).hexdigest() if f.is_file() else "" for n, f in files.items()}
