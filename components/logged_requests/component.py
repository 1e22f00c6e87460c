"""The KFP interface of logged requests."""

from kfp import dsl
from kfp.dsl import Artifact, Output

from headrace.components import images


@dsl.component(base_image=images.MAIN, install_kfp_package=False)
def logged_requests(source: str, source_digest: str, requests: Output[Artifact]) -> None:
    """Brings the logs of served requests into one folder, for `examine` to tell training/serving skew.

    Args:
        source: A folder, a file or a glob of .jsonl (compressed too) or .parquet files, on this machine or by URL.
        source_digest: What `fingerprint` says of it. Nothing is done with it: it is what the cache goes by.
        requests: The files, decompressed; an empty folder where nothing was logged yet.
    """
    from pathlib import Path

    from headrace.components.logged_requests.collect import collect_requests

    requests.metadata["files"] = collect_requests(source, Path(requests.path))
