"""FastAPI on uvicorn with uvloop and httptools, one process. ONNX: as by hand as it gets, with msgspec alone."""

import sys
from pathlib import Path
from typing import Any

import msgspec
import scorers
import uvicorn
from fastapi import FastAPI, Request, Response
from pydantic import BaseModel

port, folder, kind = int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
score = scorers.load(kind, folder)
app = FastAPI()


class Body(BaseModel):
    instances: list[dict[str, Any]]


if kind == "sklearn":

    @app.post("/predict")
    def predict(body: Body) -> dict[str, list[float]]:
        return {"predictions": score(body.instances)}
else:

    @app.post("/predict")
    async def predict_by_hand(request: Request) -> Response:
        found = score(msgspec.json.decode(await request.body())["instances"])
        return Response(msgspec.json.encode({"predictions": found}), media_type="application/json")


uvicorn.run(app, port=port, log_level="warning", access_log=False)
