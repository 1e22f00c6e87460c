"""KServe's Python server with a model of one's own, its V1 protocol, no gRPC and no log of latencies."""

import sys
from pathlib import Path
from typing import Any

import kserve
import scorers


class Churn(kserve.Model):
    def __init__(self) -> None:
        super().__init__("churn")
        self.score = scorers.load(sys.argv[3], Path(sys.argv[2]))
        self.ready = True

    async def predict(self, payload: Any, headers: Any = None, response_headers: Any = None) -> Any:
        return {"predictions": self.score(payload["instances"])}


if __name__ == "__main__":
    server = kserve.ModelServer(http_port=int(sys.argv[1]), enable_grpc=False, enable_latency_logging=False, workers=1)
    server.start([Churn()])
