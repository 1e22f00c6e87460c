"""Resolves requirements/*.in into the hashed locks: `make lock`. Needs a package index.

The `main` lock must also resolve together with what later steps install beside it (TensorFlow and its family,
Beam, MLflow), so that no upgrade of today blocks them tomorrow.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

LOCKS = Path(__file__).resolve().parent.parent / "requirements"
BESIDE_MAIN = [
    "tensorflow>=2.21",
    "tensorflow-transform>=1.21",
    "tensorflow-model-analysis>=0.52",
    "apache-beam[gcp]>=2.77",
    "mlflow>=3",
]

PARTS = ["dev", "serving", "trainer", "trainer-gpu"]  # with main.lock's versions, by their `-c main.lock`


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        wide = Path(folder) / "wide.in"
        wide.write_text(f"-r {LOCKS / 'main.in'}\n" + "\n".join(BESIDE_MAIN) + "\n")
        constraints = Path(folder) / "wide.lock"
        compile_lock(wide, constraints, hashes=False)
        compile_lock(LOCKS / "main.in", LOCKS / "main.lock", "--constraint", str(constraints))
        compile_lock(LOCKS / "tfx.in", LOCKS / "tfx.lock", "--override", str(LOCKS / "tfx-overrides.txt"))
        for part in PARTS:
            compile_lock(LOCKS / f"{part}.in", LOCKS / f"{part}.lock")
    return 0


def compile_lock(source: Path, lock: Path, *options: str, hashes: bool = True) -> None:
    uv = Path(sys.executable).with_name("uv")
    flags = [
        "--quiet",
        "--upgrade",
        "--python-version",
        "3.11",
        "--no-header",
        "--no-annotate",
        *(["--generate-hashes"] if hashes else []),
    ]
    print(f"lock: {source.name}", flush=True)
    subprocess.run([uv, "pip", "compile", *flags, *options, str(source), "--output-file", str(lock)], check=True)


if __name__ == "__main__":
    sys.exit(main())
