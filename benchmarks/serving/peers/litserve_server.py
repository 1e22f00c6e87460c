"""LitServe with one worker and one API server, no batching: batches would wait for requests."""

import sys
from pathlib import Path
from typing import Any

import litserve
import scorers


class Api(litserve.LitAPI):
    def setup(self, device: str) -> None:
        self.score = scorers.load(sys.argv[3], Path(sys.argv[2]))

    def decode_request(self, request: dict[str, Any]) -> Any:
        return request["instances"]

    def predict(self, rows: Any) -> Any:
        return self.score(rows)

    def encode_response(self, found: Any) -> Any:
        return {"predictions": found}


if __name__ == "__main__":
    server = litserve.LitServer(Api(), accelerator="cpu", devices=1, workers_per_device=1)
    server.run(
        port=int(sys.argv[1]), host="127.0.0.1", num_api_servers=1, log_level="warning", generate_client_file=False
    )
