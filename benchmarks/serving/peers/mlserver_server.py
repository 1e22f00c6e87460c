"""MLServer with a runtime of one's own, in its own process (no parallel workers), over the V2 protocol."""

import json
import os
import sys
import tempfile
from pathlib import Path


def main(port: int, folder: Path, kind: str) -> None:
    with tempfile.TemporaryDirectory() as place:
        settings = {
            "http_port": port,
            "grpc_port": port + 1,
            "metrics_port": port + 2,
            "host": "127.0.0.1",
            "parallel_workers": 0,
        }
        Path(place, "settings.json").write_text(json.dumps(settings))
        model = {"name": "churn", "implementation": "mlserver_runtime.Runtime"}
        model["parameters"] = {"uri": str(folder), "extra": {"kind": kind}}
        Path(place, "model-settings.json").write_text(json.dumps(model))
        sys.argv = ["mlserver", "start", place]
        os.environ["PYTHONPATH"] = str(Path(__file__).parent)
        from mlserver.cli.main import main as start

        start()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
