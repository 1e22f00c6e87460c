"""The model as MLServer calls it: tensors by column, of which each is taken as it came."""

from pathlib import Path

import scorers
from mlserver import MLModel
from mlserver.types import InferenceRequest, InferenceResponse, ResponseOutput


class Runtime(MLModel):
    async def load(self) -> bool:
        parameters = self.settings.parameters
        self.score = scorers.load(parameters.extra["kind"], Path(parameters.uri))
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        names = [item.name for item in payload.inputs]
        columns = [item.data.root for item in payload.inputs]
        rows = [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]
        found = self.score(rows)
        output = ResponseOutput(name="probability", shape=[len(found)], datatype="FP64", data=found)
        return InferenceResponse(model_name=self.name, outputs=[output])
