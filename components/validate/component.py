"""The KFP interface of validation."""

from kfp import dsl
from kfp.dsl import Artifact, Input, Markdown, Output

from headrace.components import images


@dsl.component(base_image=images.MAIN, install_kfp_package=False)
def validate(
    findings: Input[Artifact], schema: Input[Artifact], validated: Output[Artifact], warnings: Output[Markdown]
) -> None:
    """Fails when something was found that must not be: nothing is learned from such data.

    Args:
        findings: What `examine` found (`headrace/findings`).
        schema: The schema that the data was held against (`headrace/schema`).
        validated: The same schema; whoever takes it runs only after the data passed. Nothing of the findings is in it,
            so that a warning more leaves the caches of what follows as they are.
        warnings: What was found all the same.
    """
    import shutil
    from pathlib import Path

    from headrace.components.validate.validate import as_markdown, notes
    from headrace.components.validate.validate import validate as judge

    found = judge(Path(findings.path))
    shutil.copytree(schema.path, validated.path, dirs_exist_ok=True)
    Path(warnings.path).write_text(as_markdown(found), encoding="utf-8")
    if lines := notes(found):
        warnings.metadata["notes"] = lines
