"""The KFP interface of the fingerprint."""

from typing import NamedTuple

from kfp import dsl

from headrace.components import images


@dsl.component(base_image=images.MAIN, install_kfp_package=False)
def fingerprint(  # KFP reads a default, and never changes it
    source: str,
    data: dict = {},  # noqa: B006
    folder: str = "",
    aggregate: dict = {},  # noqa: B006
) -> NamedTuple("Outputs", [("digest", str)]):  # type: ignore[valid-type]
    """Digests the source's content as it is now. Never cache it: it is what the other steps' caches go by.

    Args:
        source: A path, a glob or a URL, or a list of them as JSON.
        data: The `data` section of the spec, which says what of the source is read, and what is joined to it; or
            `{"format": "logs"}` for a folder of logged requests.
        folder: What relative paths of joined sources and child tables lie in.
        aggregate: The section `features.aggregate` of the spec, whose child tables are read too.

    Returns:
        digest: `sha256:<hex>` over everything that ingestion will read.
    """
    from headrace.components.fingerprint.digest import fingerprint
    from headrace.components.fingerprint.url import children_in_folder, in_folder, sources_of

    return (fingerprint(sources_of(source), in_folder(data, folder), children_in_folder(aggregate, folder)),)
