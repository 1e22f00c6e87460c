"""The prediction pipeline: from a source of rows to a file of answers, by the model that serves when it runs."""

from typing import Any

from kfp import dsl

from headrace.components.batch_predict.component import batch_predict, check_rows, fetch_model
from headrace.pipelines.spec import Spec


def prediction_pipeline(spec: Spec) -> Any:
    """Builds the prediction pipeline of a spec's model.

    1. `fetch_model`, the version that the name means now.
    2. `check_rows`: the source's columns and their types against the model's inputs, before anything is scored; and
       the content's digest, so that the cache follows it.
    3. `batch_predict`: one row out for each row in, the rows without an answer beside them, and a report.

    The parameters are what differs from run to run: `source`, and `model`, by default the spec's endpoint; how many
    rows may have no answer; what names the rows; the files' format; the platform; and what Beam runs on. The source
    is read as the model's own data was, of another format where `source_format` says so.
    """

    @dsl.pipeline(
        name=f"{spec.name}-prediction",
        description=f"Answers every row of a source by {spec.name}.",
        display_name=f"{spec.name} prediction",
    )
    def prediction(
        source: str,
        model: str = spec.endpoint or spec.name,
        key: str = "",
        keep: list = [],  # noqa: B006 (KFP reads a default, and never changes it)
        max_rejects: int = 0,
        format: str = "parquet",
        reading: dict = {},  # noqa: B006
        platform: str = "local",
        beam_runner: str = "",
        beam_options: dict = {},  # noqa: B006
    ) -> None:
        fetched = fetch_model(platform=platform, model=model).set_caching_options(False)
        fetched.set_display_name("fetch-model")
        checked = check_rows(model=fetched.outputs["bundle"], source=source, reading=reading, key=key, keep=keep)
        checked.set_caching_options(False).set_display_name("check-rows")  # it is given no more than the source's name
        answered = batch_predict(
            model=fetched.outputs["bundle"],
            source=source,
            source_digest=checked.outputs["digest"],
            version=fetched.outputs["version"],
            format=format,
            key=key,
            keep=keep,
            max_rejects=max_rejects,
            reading=reading,
            beam_runner=beam_runner,
            beam_options=beam_options,
        )
        answered.set_display_name("batch-predict")

    return prediction
