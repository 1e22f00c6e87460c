"""The KFP interface of validation."""

from kfp import dsl
from kfp.dsl import Artifact, Input, Output

from headrace.components import images


@dsl.component(base_image=images.MAIN, install_kfp_package=False)
def validate(findings: Input[Artifact], schema: Input[Artifact], validated: Output[Artifact]) -> None:
    """Fails when something was found that must not be: nothing is learned from such data.

    Args:
        findings: What `examine` found (`headrace/findings`).
        schema: The schema that the data was held against (`headrace/schema`).
        validated: The same schema; whoever takes it runs only after the data passed.
    """
    import shutil
    from pathlib import Path

    from headrace.components.validate.validate import notes
    from headrace.components.validate.validate import validate as judge

    found = judge(Path(findings.path))
    shutil.copytree(schema.path, validated.path, dirs_exist_ok=True)
    if warnings := notes(found):
        validated.metadata["notes"] = warnings
