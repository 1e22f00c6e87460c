"""BentoML: one service of one worker, started as `bentoml serve`."""

import os
import sys
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    os.environ["MODEL_FOLDER"], os.environ["MODEL_KIND"] = sys.argv[2:]
    os.chdir(Path(__file__).parent)
    arguments = ["serve", "bentoml_server:Churn", "--host", "127.0.0.1", "--port", sys.argv[1], "--api-workers", "1"]
    os.execv(Path(sys.executable).with_name("bentoml"), ["bentoml", *arguments])

import bentoml
import scorers


@bentoml.service(workers=1, traffic={"timeout": 30}, logging={"access": {"enabled": False}})
class Churn:
    def __init__(self) -> None:
        self.score = scorers.load(os.environ["MODEL_KIND"], Path(os.environ["MODEL_FOLDER"]))

    @bentoml.api
    def predict(self, instances: list[dict[str, Any]]) -> dict[str, list[float]]:
        return {"predictions": self.score(instances)}
