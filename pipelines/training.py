"""The training pipeline: from a source to a model in service, or to the reason why not."""

import json
from typing import Any

from kfp import dsl

from headrace.components.champion.component import champion
from headrace.components.check.component import check
from headrace.components.evaluate.component import evaluate
from headrace.components.examine.component import examine
from headrace.components.fingerprint.component import fingerprint
from headrace.components.gate.component import gate
from headrace.components.infra_validate.component import infra_validate
from headrace.components.ingest.component import ingest
from headrace.components.logged_requests.component import logged_requests
from headrace.components.push.component import push
from headrace.components.register.component import register
from headrace.components.statistics.component import statistics
from headrace.components.track.component import track
from headrace.components.train.component import train
from headrace.components.transform.component import transform
from headrace.components.tune.component import choose_tuned, tune
from headrace.components.validate.component import validate
from headrace.pipelines.spec import Spec


def training_pipeline(spec: Spec, schema_text: str) -> Any:
    """Builds the pipeline of a spec.

    1. `fingerprint` the source, so that every cache follows the data's content, and `ingest` it into a snapshot.
    2. Describe it (`statistics`), look at its rows (`check`), and `examine` both beside the curated schema and the
       `champion`'s data, which gives the data report. Where something is found at level error, `validate` ends the run.
    3. `transform`: fit the features' encodings on the train split; `tune`, where the spec asks, for the parameters that
       do best on eval (pictures need neither); `train`; `evaluate` on the test split.
    4. Put the run on record (`track`), judge the champion on the same rows, and load the model in the real server
       (`infra_validate`).
    5. `gate`: all evidence together. Only if it passed: `register` and `push`.

    Args:
        spec: what the user wrote.
        schema_text: the curated schema in text; empty where there is none yet.

    The parameters are what a machine adds to the spec: `source`, if it lies elsewhere there, and `requests`, those that
    were logged; `folder`, in which relative paths of joined sources and child tables lie; `previous`, the snapshot that
    an incremental one adds to; the platform; what Beam runs on; and `mlflow`, the store to track runs in instead of the
    spec's.
    """
    described_as = _plain(spec.statistics)
    data, features, settings = _plain(spec.data), _plain(spec.features), _settings(spec)
    judged, validation, deploy = _plain(spec.evaluate), _plain(spec.validation), _plain(spec.deploy)
    aggregate = features.get("aggregate", {})
    requests_text = str(validation.pop("requests", ""))

    source_text = spec.data.source if isinstance(spec.data.source, str) else json.dumps(spec.data.source)

    @dsl.pipeline(name=spec.name, description=f"Trains, judges and deploys {spec.name}.", display_name=spec.name)
    def training(
        source: str = source_text,
        folder: str = "",
        previous: str = "",
        requests: str = requests_text,
        platform: str = "local",
        beam_runner: str = "",
        mlflow: str = "",
    ) -> None:
        beside = folder if spec.data.join or spec.features.aggregate else ""
        version = _always(fingerprint(source=source, data=data, folder=beside, aggregate=aggregate))
        snapshot = ingest(
            source=source,
            source_digest=version.outputs["digest"],
            task=spec.predicted,
            data=data,
            folder=beside,
            previous=previous if spec.data.watermark else "",
            aggregate=aggregate,
        )
        dataset = snapshot.outputs["dataset"]
        described = statistics(dataset=dataset, describe=described_as, beam_runner=beam_runner)
        checked = check(dataset=dataset, validate=validation, features=features)
        reigning = _always(champion(platform=platform, model_name=spec.name))
        examined = examine(
            dataset=dataset,
            statistics=described.outputs["statistics"],
            checks=checked.outputs["findings"],
            champion=reigning.outputs["model"],
            **({"requests": _logged(requests)} if requests_text else {}),
            schema_text=schema_text,
            validate=validation,
            features=features,
            now=dsl.PIPELINE_JOB_CREATE_TIME_UTC_PLACEHOLDER if spec.validation.ages else "",
        )
        if spec.validation.ages:
            _always(examined)  # data grows old without changing
        validated = validate(findings=examined.outputs["findings"], schema=examined.outputs["schema"])
        trained = train(
            dataset=dataset,
            statistics=described.outputs["statistics"],
            schema=validated.outputs["validated"],
            model_name=spec.name,
            train=settings,
            **({} if spec.of_images else _features(spec, dataset, validated)),
        )
        model = trained.outputs["model"]
        judgement = evaluate(model=model, dataset=dataset, evaluate=judged)
        rival = evaluate(model=reigning.outputs["model"], dataset=dataset, evaluate=judged).after(validated)
        rival.set_display_name("evaluate-champion")
        if spec.track.trackers:
            _track(spec, trained, judgement, mlflow)
        served = infra_validate(model=model)
        verdict = gate(
            model=model,
            evaluation=judgement.outputs["evaluation"],
            champion_evaluation=rival.outputs["evaluation"],
            infra=served.outputs["infra"],
            task=spec.predicted,
            evaluate=judged,
        )
        with dsl.If(verdict.outputs["passed"] == True, name="passed"):  # noqa: E712 (KFP builds a condition of it)
            registered = _always(
                register(
                    model=model,
                    evaluation=judgement.outputs["evaluation"],
                    decision=verdict.outputs["decision"],
                    platform=platform,
                    model_name=spec.name,
                    run=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
                )
            )
            _always(
                push(
                    model_name=spec.name,
                    version=registered.outputs["version"],
                    decision=verdict.outputs["decision"],
                    infra=served.outputs["infra"],
                    platform=platform,
                    endpoint=spec.endpoint,
                    deploy=deploy,
                    run=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
                )
            )

    return training


def _logged(requests: Any) -> Any:
    """The logged requests, in one folder: brought anew where there are others than before."""
    version = _always(fingerprint(source=requests, data={"format": "logs"}))
    version.set_display_name("fingerprint-requests")
    return logged_requests(source=requests, source_digest=version.outputs["digest"]).outputs["requests"]


def _features(spec: Spec, dataset: Any, validated: dsl.PipelineTask) -> dict[str, Any]:
    """The fitted features, and the parameters that do best with them, as arguments of training.

    Pictures have neither: how they are varied is a part of their training.
    """
    fitted = transform(
        dataset=dataset,
        features=_plain(spec.features),
        model=spec.train.model,
        sample_weight=spec.train.sample_weight or "",
    ).after(validated)
    features = fitted.outputs["transform"]
    return {"transform": features, **_tuned(spec, dataset, features)}


def _tuned(spec: Spec, dataset: Any, transform: Any) -> dict[str, Any]:
    """What tuning finds, as an argument of training; none where the spec does not ask for it."""
    if spec.train.tune is None:
        return {}
    asked = {"dataset": dataset, "transform": transform, "train": _whole(spec)["train"]}
    if spec.train.tune.shards == 1:
        return {"tuning": tune(**asked).outputs["tuning"]}
    with dsl.ParallelFor(list(range(spec.train.tune.shards)), name="shards") as shard:
        searched = tune(**asked, shard=shard)
    chosen = choose_tuned(tunings=dsl.Collected(searched.outputs["tuning"]))
    return {"tuning": chosen.outputs["tuning"]}


def _track(spec: Spec, trained: dsl.PipelineTask, judgement: dsl.PipelineTask, mlflow: Any) -> None:
    """Puts the run on record, beside whatever else happens to its model."""
    task = track(
        model=trained.outputs["model"],
        training_report=trained.outputs["report"],
        evaluation=judgement.outputs["evaluation"],
        evaluation_report=judgement.outputs["report"],
        experiment=spec.track.experiment or spec.name,
        trackers=spec.track.trackers,
        spec=_whole(spec),
        run=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
        started=dsl.PIPELINE_JOB_CREATE_TIME_UTC_PLACEHOLDER,
        tags=spec.track.tags,
        required=spec.track.required,
        mlflow=mlflow,
    )
    _always(task)


def _always(task: dsl.PipelineTask) -> dsl.PipelineTask:
    """Excludes a task from the cache: it asks about, or changes, something outside of the pipeline."""
    return task.set_caching_options(False)


def _settings(spec: Spec) -> dict[str, Any]:
    """The section `train` as training gets it: it follows what tuning found, and not how."""
    return {name: value for name, value in _whole(spec)["train"].items() if name != "tune"}


def _whole(spec: Spec) -> dict[str, Any]:
    """The spec, without the settings of networks for pictures where there are none."""
    whole = _plain(spec)
    if not spec.of_images:
        whole["train"].pop("cnn", None)
    return whole


def _plain(section: Any) -> dict[str, Any]:
    """A section as the component's parameter: every default spelt out, so that the compiled pipeline says it all."""
    plain: dict[str, Any] = section.model_dump(mode="json", by_alias=True, exclude_none=True)
    return plain
