"""Ray Serve: one replica behind its HTTP proxy, on a cluster of this machine alone."""

import signal
import sys
from pathlib import Path
from typing import Any

import ray
import scorers
from ray import serve
from starlette.requests import Request


@serve.deployment(num_replicas=1, max_ongoing_requests=100, ray_actor_options={"num_cpus": 1})
class Churn:
    def __init__(self, kind: str, folder: str) -> None:
        self.score = scorers.load(kind, Path(folder))

    async def __call__(self, request: Request) -> Any:
        return {"predictions": self.score((await request.json())["instances"])}


if __name__ == "__main__":
    here = {"env_vars": {"PYTHONPATH": str(Path(__file__).parent)}}
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, runtime_env=here)
    serve.start(
        http_options={"host": "127.0.0.1", "port": int(sys.argv[1])}, logging_config={"enable_access_log": False}
    )
    serve.run(Churn.bind(sys.argv[3], sys.argv[2]), route_prefix="/predict")
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    serve.shutdown()
    ray.shutdown()
