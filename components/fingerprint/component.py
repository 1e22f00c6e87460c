"""The KFP interface of the fingerprint."""

from typing import NamedTuple

from kfp import dsl

from headrace.components import images


@dsl.component(base_image=images.MAIN, install_kfp_package=False)
def fingerprint(source: str) -> NamedTuple("Outputs", [("digest", str)]):  # type: ignore[valid-type]
    """Digests the source's content as it is now. Never cache it: it is what the other steps' caches go by.

    Args:
        source: File or glob to read.

    Returns:
        digest: `sha256:<hex>` over the files' names and contents.
    """
    from headrace.components.fingerprint.digest import fingerprint

    return (fingerprint(source),)
