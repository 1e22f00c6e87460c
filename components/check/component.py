"""The KFP interface of the row-level checks."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Output

from headrace.components import images


@dsl.component(base_image=images.MAIN, install_kfp_package=False)
def check(dataset: Input[Dataset], validate: dict, features: dict, findings: Output[Artifact]) -> None:
    """Looks at the rows of a snapshot: duplicates, conflicting labels, leaks, and checks of one's own.

    It does not fail on what it finds: `examine` puts that beside the rest, and `validate` decides.

    Args:
        dataset: The snapshot (`headrace/dataset`).
        validate: The `validate` section of the spec (`headrace.components.validate.spec.ValidateSpec`).
        features: The `features` section of the spec: columns that it drops are no suspects.
        findings: What was found (`headrace/findings`).
    """
    from pathlib import Path

    from headrace.components.check.check import check_rows
    from headrace.components.transform.spec import FeaturesSpec
    from headrace.components.validate.spec import ValidateSpec

    settings = ValidateSpec(**validate)
    found = check_rows(Path(dataset.path), Path(findings.path), settings, FeaturesSpec(**features).drop)
    findings.metadata["findings"] = len(found.found)
