"""A task's cache key, and the outputs stored under it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace.pipelines.local.ir.commands import Command
from headrace.pipelines.local.ir.graph import Component, Graph
from headrace.pipelines.local.record.record import Record
from headrace.pipelines.local.store import attempts, digests, entries
from headrace.pipelines.local.store.closure import Closure, Closures
from headrace.pipelines.local.tree import Artifacts, Node
from headrace.pipelines.local.workers.environments import Environments


class Catalogue:
    """What is known of a pipeline's components on this machine: environment, command, code, digests."""

    def __init__(self, graph: Graph, known: Environments, closures: Closures) -> None:
        self._graph, self._known, self._closures = graph, known, closures
        self._environment_digests: dict[str, str] = {}
        self._commands: dict[str, Command] = {}
        self._closures_of: dict[str, Closure] = {}

    def environment(self, component: Component) -> str:
        """The name of the environment that a container component runs in."""
        assert component.executor is not None
        return self._known.name_for(component.executor.image)

    def command(self, component: Component) -> Command:
        if component.name not in self._commands:
            assert component.executor is not None
            self._commands[component.name] = self._known.command(component.executor)
        return self._commands[component.name]

    def closure(self, component: Component) -> Closure:
        if component.name not in self._closures_of:
            command = self.command(component)
            self._closures_of[component.name] = self._closures.of_source(command.source or "")
        return self._closures_of[component.name]

    def made_of(self, component: Component) -> dict[str, str]:
        """What else decides a task's outputs beside its parameters and input artifacts: by name, a digest."""
        executor, command = component.executor, self.command(component)
        assert executor is not None
        name = self.environment(component)
        words = [*(() if command.source is not None else executor.command), command.source or "", *executor.args]
        return {
            "environment": f"{name} sha256:{self._environment_digest(name)}",
            "command": digests.text_digest(words),
            "code": f"sha256:{self.closure(component).digest}",
            "variables": digests.text_digest(sorted(executor.env.items())),
        }

    def needs(self, component: Component) -> tuple[str, ...]:
        """The modules to be there before a task of this component is forked."""
        return self.closure(component).needs_for(self._graph.words) if self.command(component).python else ()

    def key(self, node: Node) -> str | None:
        """The cache key of a task; None where an input's content is not known, or outputs are not all that it does.

        A key of the user's own stands for everything but the pipeline, the component and the names of its outputs.
        """
        component, executor = node.component, node.component.executor
        assert executor is not None
        outputs = [f"{n}:{kind}" for n, kind in component.output_parameters.items()]
        outputs += [f"{n}:{spec.title}" for n, spec in component.output_artifacts.items()]
        if node.task.cache_key:
            return digests.text_digest([self._graph.name, component.name, node.task.cache_key, *sorted(outputs)])
        if executor.workspace or executor.driven:
            return None
        inputs: dict[str, list[tuple[str, Mapping[str, Any]]]] = {}
        for name, records in node.artifacts.items():
            inputs[name] = []
            for record in records:
                if record.digest is None:
                    return None
                inputs[name].append((record.digest, record.metadata))
        command = self.command(component)
        return digests.cache_key(
            environment=self._environment_digest(self.environment(component)),
            command=("python",) if command.source is not None else executor.command,
            args=command.words if command.python else executor.args,
            env=executor.env,
            code=self.closure(component).digest,
            parameters=node.parameters,
            artifacts=inputs,
            outputs=outputs,
        )

    def _environment_digest(self, name: str) -> str:
        if name not in self._environment_digests:
            self._environment_digests[name] = self._known.digest(name)
        return self._environment_digests[name]


def look_up(record: Record, key: str, prover: entries.Prover) -> tuple[dict[str, Any], Artifacts] | None:
    """The outputs stored under a key, if they may be reused and their content is proven by its digest."""
    found = record.cached(key)
    if found is None:
        return None
    reusable, outputs, artifacts = found
    return (outputs, artifacts) if reusable and prover.all_proven(artifacts) else None


def guess(record: Record, key: str, reusable: bool) -> tuple[dict[str, Any], Artifacts] | None:
    """What a task with this key put out last time, as far as a look tells; if `reusable`, only what may be reused."""
    found = record.cached(key)
    if found is None or (reusable and not found[0]) or not attempts.seem_there(found[2]):
        return None
    return found[1:]
