"""The compiled pipeline as frozen dataclasses: what its IR says, as far as this runner needs it.

`reading` makes them of the IR, and refuses what cannot be run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.local.ir import conditions

_TITLE = re.compile(r"^title:\s*(\S+)", re.MULTILINE)


class UnsupportedPipeline(HeadraceError):
    """The IR is not one that this runner can execute."""


@dataclass(frozen=True)
class Source:
    """Where an input comes from: a constant, the enclosing DAG's input, another task's output or status."""

    kind: str  # "constant" | "parent" | "task" | "status"
    value: Any = None  # of a constant
    name: str = ""  # of the parent's input, or the producing task
    key: str = ""  # the producing task's output
    selector: str = ""  # KFP's expression that picks a field of a loop's item


@dataclass(frozen=True)
class Parameter:
    type: str
    optional: bool = False
    default: Any = None
    has_default: bool = False
    literals: tuple[Any, ...] = ()  # if any: the only values that it takes


@dataclass(frozen=True)
class Artifact:
    schema: Mapping[str, Any]  # {"schemaTitle": "system.Dataset", ...}, or TFX's {"instanceSchema": "title: tfx.Model"}
    is_list: bool = False
    optional: bool = False

    @property
    def title(self) -> str:
        """The name of its type."""
        return title_of(self.schema)


@dataclass(frozen=True)
class Secret:
    """A variable that Kubernetes fills from a secret or a config map, and this machine from its own environment."""

    variable: str
    origin: str  # such as "the key `password` of the secret `database`"
    optional: bool = False


@dataclass(frozen=True)
class Executor:
    """What a leaf task runs: a container's command, or an importer."""

    kind: str  # "container" | "importer" | "resolver"
    image: str = ""  # may hold placeholders: `Tree` resolves them for each task
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    resources: Mapping[str, Any] = field(default_factory=dict)
    importer: Mapping[str, Any] = field(default_factory=dict)
    resolver: Mapping[str, Any] = field(default_factory=dict)  # output -> its query, {"filter": ...}
    timeout: float | None = None  # seconds
    secrets: tuple[Secret, ...] = ()
    workspace: bool = False  # it reads or writes the run's workspace, so that its outputs are not all that it does
    driven: bool = False  # a hook of its own looks at what it reads: its inputs do not tell whether that has changed

    @property
    def image_is_known(self) -> bool:
        """Whether the image is written in the pipeline; otherwise it is a parameter's value."""
        return "{{$" not in self.image


@dataclass(frozen=True)
class Retry:
    max_retries: int
    delay: float  # seconds before the first retry
    factor: float
    max_delay: float  # seconds


@dataclass(frozen=True)
class Loop:
    item: str  # the input that each iteration gets its item in
    raw: Any = None  # the items as written in the pipeline
    source: str = ""  # or the input that holds them
    artifacts: bool = False  # the items are artifacts
    parallelism: int = 0  # 0: no limit


@dataclass(frozen=True)
class Task:
    name: str
    display: str
    component: str
    parameters: Mapping[str, Source]
    artifacts: Mapping[str, Source]
    upstream: frozenset[str]
    condition: conditions.Condition | None
    always: bool  # runs whatever became of its upstream tasks
    cache: bool
    retry: Retry | None
    loop: Loop | None
    cache_key: str = ""  # the user's own: its outputs are reused whatever its inputs are


@dataclass(frozen=True)
class Dag:
    tasks: Mapping[str, Task]
    parameters: Mapping[str, tuple[Source, ...]]  # output name -> the first of these that exists
    artifacts: Mapping[str, tuple[Source, ...]]


@dataclass(frozen=True)
class Component:
    name: str
    parameters: Mapping[str, Parameter]
    artifacts: Mapping[str, Artifact]
    output_parameters: Mapping[str, str]  # name -> type
    output_artifacts: Mapping[str, Artifact]
    executor: Executor | None
    dag: Dag | None
    task_config: Mapping[str, Any] = field(default_factory=dict)  # what a parameter of type TASK_CONFIG is given


@dataclass(frozen=True)
class Graph:
    name: str
    components: Mapping[str, Component]
    root: Component
    notices: tuple[str, ...]  # what means nothing on this machine
    workspace: bool = False  # tasks share a folder while the run lasts

    @property
    def words(self) -> frozenset[str]:
        """Every text that stands, as a whole, among the constants that tasks are given; keys are none."""
        dags = [component.dag for component in (self.root, *self.components.values()) if component.dag]
        tasks = [task for dag in dags for task in dag.tasks.values()]
        sources = [source.value for task in tasks for source in task.parameters.values() if source.kind == "constant"]
        return frozenset(_texts(sources))


def title_of(schema: Mapping[str, Any]) -> str:
    """The name of an artifact's type, as one of the two forms of a schema says it."""
    if found := _TITLE.search(str(schema.get("instanceSchema", ""))):
        return found.group(1)
    return str(schema.get("schemaTitle", "system.Artifact"))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(item)
