"""The KFP interface of the champion."""

from kfp import dsl
from kfp.dsl import Model, Output

from headrace.components import images


@dsl.component(base_image=images.MAIN, install_kfp_package=False)
def champion(platform: str, model_name: str, model: Output[Model]) -> None:
    """Fetches the model version that serves now.

    Args:
        platform: Where the registry is: `local`.
        model_name: The model's name in the registry.
        model: The champion's bundle (`headrace/bundle`), or `headrace/absent` where there is none.
    """
    from pathlib import Path

    from headrace.components.champion.fetch import fetch_champion
    from headrace.platforms.open import open_platform

    fetch_champion(open_platform(platform), model_name, Path(model.path))
