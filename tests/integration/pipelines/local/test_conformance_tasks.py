"""What can be said of single tasks: workspaces, platform settings, placeholders, cache keys, images, exit handlers."""

# What stands in components is what users write.
# ruff: noqa: PTH118, PTH123, PTH208

import re
import sys

import pytest
from kfp import dsl

from headrace.pipelines.local.ir.platform_spec import MissingVariable
from headrace.pipelines.local.run import resume_pipeline
from headrace.pipelines.local.workers.environments import UnknownEnvironment, default_environments
from tests.integration.pipelines.local.conformance_components import add, component, read, text, write

workspace = dsl.PipelineConfig(workspace=dsl.WorkspaceConfig(size="1Gi"))


@component
def put(folder: str, name: str):
    import os

    with open(os.path.join(folder, name), "w") as file:
        file.write(name)


@component
def get(folder: str) -> str:
    import os

    return ",".join(sorted(name for name in os.listdir(folder) if not name.startswith(".")))


@component
def list_mount() -> str:
    import os

    return ",".join(sorted(name for name in os.listdir("/kfp-workspace") if not name.startswith(".")))


@component
def add_to(data: dsl.Input[dsl.Dataset], mark: str) -> str:
    import os

    if mark:
        with open(os.path.join(data.path, mark), "w"):
            pass
    return f"{','.join(sorted(os.listdir(data.path)))} {data.metadata}"


@component
def environment(names: list) -> str:
    import os

    return ",".join(os.environ.get(name, "-") for name in names)


@component
def nap(seconds: float):
    import time

    time.sleep(seconds)


@component
def flaky(folder: str, times: int, also: bool = True) -> int:
    import os

    count = len(os.listdir(folder)) + 1
    open(os.path.join(folder, str(count)), "w").close()
    if count <= times:
        raise RuntimeError(f"attempt {count}")
    return count


@component
def status_of(status: dsl.PipelineTaskFinalStatus, word: str = "") -> str:
    return f"{word} {status.state} {status.pipeline_task_name} {status.error_code} {status.error_message}"


@component
def fail(message: str = "it broke") -> str:
    raise ValueError(message)


def notices(runner):
    return [event.message for event in runner.events if event.kind == "notice"]


def on_kubernetes(ir, **executors):
    """The same pipeline with a platform spec, as the extension of KFP for Kubernetes would have added it."""
    settings = {f"exec-{name.replace('_', '-')}": config for name, config in executors.items()}
    return {
        "pipelineSpec": ir,
        "platformSpec": {"platforms": {"kubernetes": {"deploymentSpec": {"executors": settings}}}},
    }


def test_a_workspace_is_shared_by_the_tasks_of_one_run(runner, tmp_path):
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / "a.txt").write_text("a")

    @dsl.pipeline(pipeline_config=workspace)
    def shared(source: str) -> str:
        first = put(folder=dsl.WORKSPACE_PATH_PLACEHOLDER, name="one")
        second = put(folder=f"{dsl.WORKSPACE_PATH_PLACEHOLDER}/", name="two")
        imported = dsl.importer(
            artifact_uri=source, artifact_class=dsl.Dataset, metadata={"k": source}, download_to_workspace=True
        )
        changed = add_to(data=imported.output, mark="b.txt").set_caching_options(False)
        seen = add_to(data=imported.output, mark="").after(changed)
        list_mount().after(first, second)
        return text(x=f"{get(folder='/kfp-workspace').after(first, second).output} {seen.output}").output

    ir = runner.compile(shared)
    for _ in range(2):  # what is done in a workspace is done again in the next run
        result = runner.run(ir, parameters={"source": str(tmp_path / "given")})
        assert result.outputs == {"Output": f"one,two a.txt,b.txt {{'k': '{tmp_path / 'given'}'}}"}
        assert result.tasks["list-mount"].outputs == {"Output": "one,two"}
        assert {"put", "put-2", "list-mount", "get"} <= runner.ran()
        assert not list((runner.home / "workspaces").iterdir())
    assert [path.name for path in (tmp_path / "given").iterdir()] == ["a.txt"]
    refused = runner.run(ir, parameters={"source": "gs://bucket/given"})
    assert "expected an artifact of this machine to copy into the workspace" in refused.failed()[0].error.message
    assert [path.name for path in (runner.home / "workspaces").iterdir()] == [refused.id]  # it can be resumed


def test_a_resumed_run_finds_its_workspace(runner, tmp_path):
    @dsl.pipeline(pipeline_config=workspace)
    def interrupted(folder: str) -> str:
        first = put(folder=dsl.WORKSPACE_PATH_PLACEHOLDER, name="one")
        second = flaky(folder=folder, times=1).after(first)
        return get(folder=dsl.WORKSPACE_PATH_PLACEHOLDER).after(second).output

    (tmp_path / "tries").mkdir()
    failed = runner.run(interrupted, parameters={"folder": str(tmp_path / "tries")})
    assert failed.state == "FAILED"
    resumed = resume_pipeline(failed.id, home=runner.home, environments=default_environments())
    assert resumed.outputs == {"Output": "one"}
    assert resumed.tasks["put"].attempts == 1
    assert not list((runner.home / "workspaces").iterdir())


def test_importers_of_nothing_and_of_a_file_uri(runner, tmp_path):
    (tmp_path / "x").write_text("x")

    def imports(uri: str):
        read(data=dsl.importer(artifact_uri=uri, artifact_class=dsl.Dataset, metadata={"length": 1}).output)

    ir = runner.compile(imports)
    assert runner.run(ir, parameters={"uri": f"file://{tmp_path}/x"}).tasks["read"].outputs == {"Output": "x:1"}
    message = runner.run(ir, parameters={"uri": ""}).failed()[0].error.message
    assert message == "expected the place of an artifact to import. Received: an empty text"


def test_settings_of_kubernetes(runner, monkeypatch):
    def settings():
        environment(names=["PASSWORD", "TEAM"])
        nap(seconds=30.0)

    ir = on_kubernetes(
        runner.compile(settings),
        environment={
            "secretAsEnv": [{"secretName": "s", "keyToEnv": [{"secretKey": "p", "envVar": "PASSWORD"}]}],
            "podMetadata": {"labels": {"team": "x"}},
            "fieldPathAsEnv": [{"name": "TEAM", "fieldPath": "metadata.labels['team']"}],
        },
        nap={"activeDeadlineSeconds": "1", "tolerations": [{"key": "gpu"}]},
    )
    monkeypatch.delenv("PASSWORD", raising=False)
    with pytest.raises(MissingVariable, match="Missing: environment needs PASSWORD"):
        runner.run(ir)
    assert runner.events == []
    monkeypatch.setenv("PASSWORD", "secret")
    result = runner.run(ir)
    assert result.tasks["environment"].outputs == {"Output": "secret,x"}
    assert result.tasks["nap"].error.type == "Timeout"
    assert "nap: this machine has no use for the toleration" in notices(runner)


def test_placeholders_of_the_job_and_the_task(runner):
    @component
    def names(job: str, resource: str, job_id: str, task: str, task_id: str, more: str) -> list:
        return [job, resource, job_id, task, task_id, more]

    def placeholders():
        for _ in range(2):
            names(
                job=dsl.PIPELINE_JOB_NAME_PLACEHOLDER,
                resource=dsl.PIPELINE_JOB_RESOURCE_NAME_PLACEHOLDER,
                job_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
                task=dsl.PIPELINE_TASK_NAME_PLACEHOLDER,
                task_id=dsl.PIPELINE_TASK_ID_PLACEHOLDER,
                more=f"{dsl.PIPELINE_TASK_NAME_PLACEHOLDER}{dsl.PIPELINE_JOB_NAME_PLACEHOLDER}",
            ).set_display_name("Called otherwise")

    result = runner.run(placeholders, name="job")
    first, second = (result.tasks[name].outputs["Output"] for name in ("names", "names-2"))
    assert first[:4] == ["job", f"job-{result.id}", result.id, "names"]
    assert (second[3], second[5]) == ("names-2", "names-2job")
    assert first[4] != second[4]
    assert first[4].startswith(result.id)
    assert result.tasks["names"].name == "Called otherwise"


def test_a_container_gets_lists_of_artifacts_and_their_metadata(runner):
    @dsl.container_component
    def program(
        one: dsl.Input[dsl.Dataset],
        many: dsl.Input[list[dsl.Dataset]],
        n: int,
        b: bool,
        items: list,
        out: dsl.OutputPath(str),
    ):
        return dsl.ContainerSpec(
            image="registry/headrace-main:1",
            command=["python", "-c", "import sys; open(sys.argv[1], 'w').write('|'.join(sys.argv[2:]))", out],
            args=[f"{one.metadata['length']}", one.metadata, dsl.ConcatPlaceholder([n, "/", b]), items, many],
        )

    def containers():
        with dsl.ParallelFor(["a", "bb"]) as word:
            each = write(content=word)
        one = write(content="")
        program(one=one.outputs["out"], many=dsl.Collected(each.outputs["out"]), n=0, b=False, items=[1, ""])

    result = runner.run(containers)
    *words, many = result.tasks["program"].outputs["out"].split("|")
    assert words == ["0", '{"length": 0}', "0/false", '[1, ""]']
    assert re.findall(r'"length": (\d)', many) == ["1", "2"]


def test_an_image_that_is_the_value_of_a_parameter(runner):
    @component
    def prefix() -> str:
        import sys

        return sys.prefix

    def images(tag: str, full: str):
        prefix().set_container_image(full)
        prefix().set_container_image(f"registry/headrace-tfx:{tag}")

    result = runner.run(images, parameters={"tag": "1", "full": "python:3.11"})
    assert result.tasks["prefix"].outputs == {"Output": sys.prefix}
    assert result.tasks["prefix-2"].outputs["Output"].endswith("-tfx")
    result = runner.run(images, parameters={"tag": "1", "full": "alpine:3"})
    assert (result.tasks["prefix"].state, result.tasks["prefix"].error.type) == ("FAILED", UnknownEnvironment.__name__)
    assert result.tasks["prefix-2"].cached


def test_a_cache_key_of_the_users_own(runner):
    def keyed(n: int) -> int:
        return add(a=add(a=n).set_caching_options(True, cache_key="mine").output, b=10).output

    ir = runner.compile(keyed)
    assert runner.run(ir, parameters={"n": 0}).outputs == {"Output": 11}
    assert runner.run(ir, parameters={"n": 5}).outputs == {"Output": 11}
    assert runner.ran() == set()
    assert runner.run(dict(ir, pipelineInfo={"name": "another"}), parameters={"n": 5}).outputs == {"Output": 16}


def test_retries_and_a_condition_in_a_loop_in_an_exit_handler(runner, tmp_path):
    @dsl.pipeline
    def tried(folder: str, n: int) -> int:
        return flaky(folder=folder, times=n).set_retry(2, backoff_duration="0s").output

    def all_of_it(folder: str, limit: int):
        cleaned = status_of(word="after")
        with dsl.ExitHandler(cleaned, name="guarded"):
            with dsl.ParallelFor([1, 2, 3]) as n:
                with dsl.If(n == limit):
                    inner = tried(folder=folder, n=limit)
                    add(a=inner.output)
                with dsl.Else():
                    text(x="no")
            with dsl.If(limit == 3):
                fail()

    ir = runner.compile(all_of_it)
    (tmp_path / "2").mkdir()
    result = runner.run(ir, parameters={"folder": str(tmp_path / "2"), "limit": 2})
    assert result.tasks["status-of"].outputs == {"Output": "after SUCCEEDED exit-handler-1 None None"}
    (ran,) = [task for path, task in result.tasks.items() if path.endswith("/flaky") and task.state == "SUCCEEDED"]
    assert (ran.attempts, ran.outputs) == (3, {"Output": 3})
    assert [t.outputs["Output"] for p, t in result.tasks.items() if p.endswith("/add") and t.outputs] == [4]
    assert result.succeeded
    (tmp_path / "3").mkdir()
    result = runner.run(ir, parameters={"folder": str(tmp_path / "3"), "limit": 3})
    said = result.tasks["status-of"].outputs["Output"]
    assert said.startswith("after FAILED exit-handler-1 13 exit-handler-1/")
    assert said.endswith(("it broke", "attempt 3"))
    assert result.state == "FAILED"


def test_failures_and_skips_that_are_ignored(runner):
    @component
    def after_all(given: str = "nothing") -> str:
        return given

    def ignoring():
        bad = fail()
        skipped = text(x=bad.output)
        after_all(given=bad.output).ignore_upstream_failure()
        after_all(given="constant").after(skipped).ignore_upstream_failure()
        status_of(word="").after(bad).ignore_upstream_failure()

    result = runner.run(ignoring)
    assert result.tasks["after-all"].outputs == {"Output": "nothing"}
    assert result.tasks["after-all-2"].outputs == {"Output": "constant"}
    assert result.tasks["status-of"].outputs == {"Output": " FAILED fail 13 it broke"}
    assert result.tasks["text"].state == "SKIPPED"
    assert result.state == "FAILED"
