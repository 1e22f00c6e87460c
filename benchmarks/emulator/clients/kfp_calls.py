"""Tries the calls of kfp.Client, one after the other: `kfp_calls.py ADDRESS INPUTS RESULT.json`."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import kfp
import sample_pipelines
from tally import Tally


def pipelines(tally: Tally, client: Any, inputs: Path) -> tuple[str, str]:
    """Pipelines and their versions; returns the ids of one of each."""
    package = str(inputs / "caching.yaml")
    found = tally("Client.upload_pipeline", client.upload_pipeline, package, "caching", "said")
    version = tally(
        "Client.upload_pipeline_version", client.upload_pipeline_version, package, "v2", pipeline_id=found.pipeline_id
    )
    other = tally(
        "Client.upload_pipeline_from_pipeline_func",
        client.upload_pipeline_from_pipeline_func,
        sample_pipelines.measuring,
        pipeline_name="measuring",
    )
    third = tally(
        "Client.upload_pipeline_version_from_pipeline_func",
        client.upload_pipeline_version_from_pipeline_func,
        sample_pipelines.measuring,
        "v2",
        pipeline_id=other.pipeline_id,
    )
    tally("Client.get_pipeline", client.get_pipeline, found.pipeline_id)
    id = tally("Client.get_pipeline_id", client.get_pipeline_id, "caching")
    tally.expect("Client.get_pipeline_id", id, found.pipeline_id)
    listed = tally("Client.list_pipelines", client.list_pipelines, page_size=1, sort_by="created_at desc")
    tally.expect("Client.list_pipelines", [one.display_name for one in listed.pipelines], ["measuring"])
    tally("Client.get_pipeline_version", client.get_pipeline_version, found.pipeline_id, version.pipeline_version_id)
    versions = tally("Client.list_pipeline_versions", client.list_pipeline_versions, found.pipeline_id)
    tally.expect("Client.list_pipeline_versions", len(versions.pipeline_versions), 2)
    delete = client.delete_pipeline_version
    for one in client.list_pipeline_versions(other.pipeline_id).pipeline_versions:
        tally("Client.delete_pipeline_version", delete, other.pipeline_id, one.pipeline_version_id)
    assert third is not None
    tally("Client.delete_pipeline", client.delete_pipeline, other.pipeline_id)
    return found.pipeline_id, version.pipeline_version_id


def experiments(tally: Tally, client: Any) -> str:
    """Experiments; returns the id of one."""
    experiment = tally("Client.create_experiment", client.create_experiment, "tried", "said")
    id = str(experiment.experiment_id)
    tally("Client.get_experiment", client.get_experiment, experiment_name="tried")
    tally("Client.list_experiments", client.list_experiments, sort_by="name")
    tally("Client.archive_experiment", client.archive_experiment, id)
    tally("Client.unarchive_experiment", client.unarchive_experiment, id)
    gone = client.create_experiment("gone")
    tally("Client.delete_experiment", client.delete_experiment, gone.experiment_id)
    return id


def runs(tally: Tally, client: Any, inputs: Path, experiment: str, pipeline: tuple[str, str]) -> None:
    """Runs."""
    fast = {"seconds": 0.1}
    run = tally(
        "Client.run_pipeline",
        client.run_pipeline,
        experiment,
        "r",
        params=fast,
        pipeline_id=pipeline[0],
        version_id=pipeline[1],
    )
    found = tally("Client.wait_for_run_completion", client.wait_for_run_completion, run.run_id, 60, sleep_duration=0.1)
    tally.expect("Client.wait_for_run_completion", found.state, "SUCCEEDED")
    tally("Client.get_run", client.get_run, run.run_id)
    listed = tally("Client.list_runs", client.list_runs, experiment_id=experiment, sort_by="created_at desc")
    tally.expect("Client.list_runs", [one.run_id for one in listed.runs], [run.run_id])
    package = str(inputs / "caching.yaml")
    tally("Client.create_run_from_pipeline_package", client.create_run_from_pipeline_package, package, arguments=fast)
    slow = tally(
        "Client.create_run_from_pipeline_func",
        client.create_run_from_pipeline_func,
        sample_pipelines.cached,
        arguments={"seconds": 60},
        experiment_name="tried",
    )
    tally("Client.terminate_run", client.terminate_run, slow.run_id)
    give_up = time.monotonic() + 30  # wait_for_run_completion waits on, for one that was cancelled
    while (state := client.get_run(slow.run_id).state) != "CANCELED" and time.monotonic() < give_up:
        time.sleep(0.1)
    tally.expect("Client.terminate_run", state, "CANCELED")
    tally("Client.archive_run", client.archive_run, run.run_id)
    tally("Client.unarchive_run", client.unarchive_run, run.run_id)
    tally("Client.delete_run", client.delete_run, run.run_id)


def recurring(tally: Tally, client: Any, experiment: str, pipeline: tuple[str, str]) -> None:
    """Recurring runs."""
    common = {"pipeline_id": pipeline[0], "version_id": pipeline[1], "params": {"seconds": 0.1}}
    one = tally(
        "Client.create_recurring_run",
        client.create_recurring_run,
        experiment,
        "hourly",
        cron_expression="0 0 * * * *",
        **common,
    )
    tally("Client.get_recurring_run", client.get_recurring_run, one.recurring_run_id)
    tally("Client.list_recurring_runs", client.list_recurring_runs, experiment_id=experiment)
    tally("Client.disable_recurring_run", client.disable_recurring_run, one.recurring_run_id)
    tally("Client.enable_recurring_run", client.enable_recurring_run, one.recurring_run_id)
    tally("Client.disable_job", client.disable_job, one.recurring_run_id)
    tally("Client.enable_job", client.enable_job, one.recurring_run_id)
    tally("Client.delete_recurring_run", client.delete_recurring_run, one.recurring_run_id)
    other = client.create_recurring_run(experiment, "often", interval_second=3600, **common)
    tally("Client.delete_job", client.delete_job, other.recurring_run_id)


def main(address: str, inputs: Path, result: Path) -> None:
    """Tries all of them."""
    tally = Tally(lambda name: callable(getattr(kfp.Client, name.partition(".")[2], None)))
    client = kfp.Client(host=address)
    tally("Client.get_kfp_healthz", client.get_kfp_healthz)
    tally("Client.set_user_namespace", client.set_user_namespace, "team")
    tally("Client.get_user_namespace", client.get_user_namespace)
    client.set_user_namespace("")
    pipeline = pipelines(tally, client, inputs)
    experiment = experiments(tally, client)
    tally.group(lambda: runs(tally, client, inputs, experiment, pipeline))
    tally.group(lambda: recurring(tally, client, experiment, pipeline))
    public = {name for name in dir(kfp.Client) if not name.startswith("_") and callable(getattr(kfp.Client, name))}
    tally.untried = sorted(public - {name.partition(".")[2] for name in tally.outcomes})
    tally.write(result, f"kfp {kfp.__version__}")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
