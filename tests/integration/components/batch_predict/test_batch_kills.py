"""A batch prediction that is killed again and again, at any moment, comes to the output of one that was not."""

import random
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.artifacts.bundle import Bundle
from tests.integration.components.batch_predict.test_batch_predict import table_of
from tests.unit.serving.tiny_bundle import random_instances, write_tiny_bundle

HEADRACE = Path(sys.executable).with_name("headrace")
KILLS = 4


@pytest.mark.slow
@pytest.mark.parametrize("output", ["out.parquet", "out"])
def test_kills(tmp_path, output):
    bundle = write_tiny_bundle(tmp_path / "tiny", trees=60)
    rows = table_of(random_instances(Bundle.open(bundle).signature.inputs, 4_000, seed=2)).drop_columns(["id"])
    pq.write_table(pa.concat_tables([rows] * 100), tmp_path / "rows.parquet", row_group_size=20_000)

    def command(target):
        words = ["batch-predict", bundle, tmp_path / "rows.parquet", "-o", tmp_path / target, "--part-rows", "20000"]
        return [str(HEADRACE), *map(str, words)]

    subprocess.run(command(f"whole{Path(output).suffix}"), check=True)
    generator, work, killed = random.Random(0), tmp_path / f".{output}.partial", 0
    while killed < KILLS:
        process = subprocess.Popen(command(output), stdout=subprocess.DEVNULL)
        before = len(list(work.glob("part-*.json")))
        while process.poll() is None and len(list(work.glob("part-*.json"))) == before:
            time.sleep(0.01)
        time.sleep(generator.uniform(0.0, 0.2))  # somewhere in the next part, or while they are put together
        if process.poll() is None:
            process.kill()
            killed += 1
        if process.wait() == 0:
            break
    last = subprocess.run(command(output), capture_output=True, text=True, check=True)
    assert killed > 0 and "made before" in last.stdout
    table, whole = (read(tmp_path / name) for name in (output, f"whole{Path(output).suffix}"))
    assert table.num_rows == 400_000 and table.equals(whole)
    assert not (tmp_path / f".{output}.partial").exists()


def read(place: Path) -> pa.Table:
    files = [place] if place.is_file() else sorted(place.iterdir())
    return pa.concat_tables([pq.read_table(file) for file in files])
