"""The KFP interface of tracking."""

from kfp import dsl
from kfp.dsl import HTML, Artifact, Input, Model, Output

from headrace.components import images


@dsl.component(base_image=images.MAIN, install_kfp_package=False)
def track(
    model: Input[Model],
    training_report: Input[HTML],
    evaluation: Input[Artifact],
    evaluation_report: Input[HTML],
    experiment: str,
    trackers: list,
    spec: dict,
    run: str,
    started: str,
    tracked: Output[Artifact],
    tags: dict = {},  # noqa: B006
    required: bool = False,
    mlflow: str = "",
    of_many: str = "",
) -> None:
    """Puts a run on record: parameters, metrics with their intervals, curves, reports, and where all of it comes from.

    Args:
        model: The bundle.
        training_report: The training's report.
        evaluation: The bundle's evaluation (`headrace/evaluation`).
        evaluation_report: The same for people.
        experiment: What the run belongs to.
        trackers: Where it goes on record: `local`, an MLflow server's URL, `sqlite:///FILE`, `vertex://PROJECT/LOCATION`.
        spec: The whole spec.
        run: The pipeline run's id.
        started: When it began, ISO 8601.
        tags: Tags of the user's own.
        required: Whether a tracker that cannot be reached ends the step; by default it is noted.
        mlflow: An MLflow store instead of those of `trackers`.
        of_many: The model's name, where one pipeline run trains several: each is tracked as a run of its own.
        tracked: What went on record, and where, as JSON.
    """
    from pathlib import Path

    from headrace.components.track.track import track_run, with_mlflow

    reports = {"training": training_report, "evaluation": evaluation_report}
    said = track_run(
        with_mlflow(trackers, mlflow),
        model=Path(model.path),
        evaluation=Path(evaluation.path),
        reports={name: Path(report.path) for name, report in reports.items()},
        uris={"model": model.uri, **{name: report.uri for name, report in reports.items()}},
        experiment=experiment,
        spec=spec,
        run=f"{run}-{of_many}" if of_many else run,
        started=started,
        tags=tags,
        required=required,
        output=Path(tracked.path),
    )
    tracked.metadata.update(said)
