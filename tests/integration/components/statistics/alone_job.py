"""Describes a snapshot by TFDV's classes alone, and then by the whole of it; run in the tfx environment.

python alone_job.py SNAPSHOT FOLDER
"""

import json
import sys
from pathlib import Path

from headrace.components.statistics.compute import compute_statistics
from headrace.components.statistics.spec import StatisticsSpec
from headrace.components.statistics.tfdv import _Nothing, tfdv


def heavy() -> list[str]:
    tops = {"apache_beam", "tensorflow", "tensorflow_data_validation"}
    return sorted({name.split(".")[0] for name in sys.modules} & tops)


def main(snapshot: Path, folder: Path) -> None:
    settings = StatisticsSpec(weight="weight", slices=["plan"])
    alone = tfdv()
    compute_statistics(snapshot, folder / "alone", settings, workers=1)
    said = {"heavy": heavy()}
    try:
        _Nothing.io  # noqa: B018
    except RuntimeError as error:
        said["refused"] = str(error)

    import tensorflow_data_validation as whole

    said["whole"] = [whole.StatsOptions.__name__, heavy()]
    assert tfdv() is not alone
    assert tfdv().types is whole.types
    compute_statistics(snapshot, folder / "whole", settings, workers=1)
    print(json.dumps(said))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
