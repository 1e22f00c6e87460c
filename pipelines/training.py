"""The training pipeline: from a source to a model in service, or to the reason why not."""

import json
from dataclasses import dataclass
from typing import Any

from kfp import dsl

from headrace.components.card.component import card
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
from headrace.components.segments.component import segment, split_segments, summarize_segments
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
    5. `gate`: all evidence together; the model `card` tells of it. Only if it passed: `register` and `push`.

    With `for_each`, the data is brought and judged as one; `split_segments` then parts it, and from 3 on each segment
    has steps of its own, of which one that fails stops no other. `summarize_segments` reports on all.

    Args:
        spec: what the user wrote.
        schema_text: the curated schema in text; empty where there is none yet.

    The parameters are what a machine adds to the spec: `source`, if it lies elsewhere there, and `requests`, those that
    were logged; `folder`, in which relative paths of joined sources and child tables lie; `previous`, the snapshot that
    an incremental one adds to; the platform; what Beam runs on, with its options; and `mlflow`, the store to track runs
    in instead of the spec's.
    """
    described_as = _plain(spec.statistics)
    data, features, validation = _plain(spec.data), _plain(spec.features), _plain(spec.validation)
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
        beam_options: dict = {},  # noqa: B006 (KFP reads a default, and never changes it)
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
        beam = {"beam_runner": beam_runner, "beam_options": beam_options}
        described = statistics(dataset=dataset, describe=described_as, **beam)
        checked = check(dataset=dataset, validate=validation, features=features)
        reigning = None if spec.for_each else _always(champion(platform=platform, model_name=spec.name))
        examined = examine(
            dataset=dataset,
            statistics=described.outputs["statistics"],
            checks=checked.outputs["findings"],
            **({"champion": reigning.outputs["model"]} if reigning else {}),
            **({"requests": _logged(requests)} if requests_text else {}),
            schema_text=schema_text,
            validate=validation,
            features=features,
            now=dsl.PIPELINE_JOB_CREATE_TIME_UTC_PLACEHOLDER if spec.validation.ages else "",
        )
        if spec.validation.ages:
            _always(examined)  # data grows old without changing
        validated = validate(findings=examined.outputs["findings"], schema=examined.outputs["schema"])
        whole = _Whole(spec, examined, validated, platform, mlflow, beam)
        if reigning:
            _one_model(whole, _Subject(dataset, described, reigning, spec.name, spec.endpoint))
        else:
            _model_of_each(whole, dataset)

    return training


@dataclass(frozen=True)
class _Whole:
    """What is the same for all models of a run."""

    spec: Spec
    examined: dsl.PipelineTask
    validated: dsl.PipelineTask
    platform: Any
    mlflow: Any
    beam: dict[str, Any]  # the runner and its options


@dataclass(frozen=True)
class _Subject:
    """What one model is made of, and what it is called."""

    dataset: Any
    described: dsl.PipelineTask  # by `statistics`
    reigning: dsl.PipelineTask  # its champion
    name: Any
    endpoint: Any
    drop: tuple[str, ...] = ()  # columns that are no features, beside those of the spec
    of_many: bool = False  # one of several models of this run


def _one_model(whole: _Whole, subject: _Subject) -> dict[str, Any]:
    """Trains, judges, and if it passed its gates registers and pushes one model.

    Returns:
        the evidence on it: its `evaluation`, that of the `champion`, and the `decision`.
    """
    spec, dataset = whole.spec, subject.dataset
    judged = _plain(spec.evaluate)
    learned = {} if spec.of_images else _features(spec, subject, whole.validated)
    trained = train(
        dataset=dataset,
        statistics=subject.described.outputs["statistics"],
        schema=whole.validated.outputs["validated"],
        model_name=subject.name,
        train=_settings(spec),
        **_gains(spec),
        **learned,
    )
    model = trained.outputs["model"]
    how = {"dataset": dataset, "evaluate": judged, **whole.beam}
    judgement = evaluate(model=model, **how)
    rival = evaluate(model=subject.reigning.outputs["model"], **how)
    rival.after(whole.validated).set_display_name("evaluate-champion")
    if spec.track.trackers:
        _track(whole, subject, trained, judgement)
    served = infra_validate(model=model)
    verdict = gate(
        model=model,
        evaluation=judgement.outputs["evaluation"],
        champion_evaluation=rival.outputs["evaluation"],
        infra=served.outputs["infra"],
        findings=whole.examined.outputs["findings"],
        task=spec.predicted,
        evaluate=judged,
    )
    told = card(
        model=model,
        dataset=dataset,
        evaluation=judgement.outputs["evaluation"],
        decision=verdict.outputs["decision"],
        champion_evaluation=rival.outputs["evaluation"],
        infra=served.outputs["infra"],
        findings=whole.examined.outputs["findings"],
        **{name: artifact for name, artifact in learned.items() if name == "tuning"},
        model_name=subject.name,
        spec=_whole(spec),
    )
    with dsl.If(verdict.outputs["passed"] == True, name="passed"):  # noqa: E712 (KFP builds a condition of it)
        registered = _always(
            register(
                model=model,
                evaluation=judgement.outputs["evaluation"],
                decision=verdict.outputs["decision"],
                card=told.outputs["card"],
                platform=whole.platform,
                model_name=subject.name,
                run=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
                deploy=_deploy(spec),
                endpoint=subject.endpoint,
            )
        )
        _always(
            push(
                model_name=subject.name,
                version=registered.outputs["version"],
                decision=verdict.outputs["decision"],
                infra=served.outputs["infra"],
                platform=whole.platform,
                endpoint=subject.endpoint,
                deploy=_deploy(spec),
                run=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
            )
        )
    return {
        "evaluation": judgement.outputs["evaluation"],
        "champion": rival.outputs["evaluation"],
        "decision": verdict.outputs["decision"],
    }


def _model_of_each(whole: _Whole, dataset: Any) -> None:
    """A model for each segment of the data: the same steps, and a report over all of them, whatever became of each."""
    spec = whole.spec
    assert spec.for_each is not None
    parts = split_segments(
        dataset=dataset, for_each=_plain(spec.for_each, "parallel"), model_name=spec.name, endpoint=spec.endpoint
    ).after(whole.validated)
    with dsl.ParallelFor(parts.outputs["segments"], name="segments", parallelism=spec.for_each.parallel) as each:
        rows = segment(parts=parts.outputs["parts"], part=each.part).outputs["dataset"]
        described = statistics(dataset=rows, describe=_plain(spec.statistics), **whole.beam)
        described.set_display_name("statistics")
        found = _one_model(
            whole,
            _Subject(
                dataset=rows,
                described=described,
                reigning=_always(champion(platform=whole.platform, model_name=each.model)),
                name=each.model,
                endpoint=each.endpoint,
                drop=(spec.for_each.segment,),
                of_many=True,
            ),
        )
    summed = summarize_segments(
        name=spec.name,
        platform=whole.platform,
        parts=parts.outputs["parts"],
        datasets=dsl.Collected(rows),
        evaluations=dsl.Collected(found["evaluation"]),
        champions=dsl.Collected(found["champion"]),
        decisions=dsl.Collected(found["decision"]),
    )
    _always(summed).ignore_upstream_failure()


def _deploy(spec: Spec) -> dict[str, Any]:
    """The section `deploy`; of several models each has an endpoint of its own, and not the one that it names."""
    plain = _plain(spec.deploy)
    if spec.for_each:
        plain.pop("endpoint", None)
    return plain


def _logged(requests: Any) -> Any:
    """The logged requests, in one folder: brought anew where there are others than before."""
    version = _always(fingerprint(source=requests, data={"format": "logs"}))
    version.set_display_name("fingerprint-requests")
    return logged_requests(source=requests, source_digest=version.outputs["digest"]).outputs["requests"]


def _features(spec: Spec, subject: _Subject, validated: dsl.PipelineTask) -> dict[str, Any]:
    """The fitted features, and the parameters that do best with them, as arguments of training.

    Pictures have neither: how they are varied is a part of their training.
    """
    features = _plain(spec.features)
    fitted = transform(
        dataset=subject.dataset,
        features={**features, "drop": list(dict.fromkeys([*features["drop"], *subject.drop]))},
        model=spec.train.model,
        sample_weight=spec.train.sample_weight or "",
    ).after(validated)
    encoded = fitted.outputs["transform"]
    return {"transform": encoded, **_tuned(spec, subject.dataset, encoded)}


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


def _track(whole: _Whole, subject: _Subject, trained: dsl.PipelineTask, judgement: dsl.PipelineTask) -> None:
    """Puts the run on record, beside whatever else happens to its model."""
    spec = whole.spec
    task = track(
        model=trained.outputs["model"],
        training_report=trained.outputs["report"],
        evaluation=judgement.outputs["evaluation"],
        evaluation_report=judgement.outputs["report"],
        experiment=spec.track.experiment or (f"{spec.name}-runs" if spec.track.vertex else spec.name),
        trackers=spec.track.trackers,
        spec=_whole(spec),
        run=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
        # An input of its own: of a text with a loop's item in it, KFP's compiler loses where the item comes from.
        **({"of_many": subject.name} if subject.of_many else {}),
        started=dsl.PIPELINE_JOB_CREATE_TIME_UTC_PLACEHOLDER,
        tags=spec.track.tags,
        required=spec.track.required,
        mlflow=whole.mlflow,
    )
    _always(task)


def _always(task: dsl.PipelineTask) -> dsl.PipelineTask:
    """Excludes a task from the cache: it asks about, or changes, something outside of the pipeline."""
    return task.set_caching_options(False)


def _gains(spec: Spec) -> dict[str, Any]:
    """What decisions bring, as an argument of training, where the threshold of most value is asked for."""
    value = spec.evaluate.value
    return {"value": _plain(value)} if value is not None and spec.train.threshold == "value" else {}


def _settings(spec: Spec) -> dict[str, Any]:
    """The section `train` as training gets it: it follows what tuning found, and not how."""
    return {name: value for name, value in _whole(spec)["train"].items() if name != "tune"}


def _whole(spec: Spec) -> dict[str, Any]:
    """The spec, without where and on what it runs, and the settings of networks for pictures where there are none."""
    whole = _plain(spec, "resources", "submit")
    if not spec.of_images:
        whole["train"].pop("cnn", None)
    return whole


def _plain(section: Any, *without: str) -> dict[str, Any]:
    """A section as the component's parameter: every default spelt out, so that the compiled pipeline says it all."""
    plain: dict[str, Any] = section.model_dump(mode="json", by_alias=True, exclude_none=True, exclude=set(without))
    return plain
