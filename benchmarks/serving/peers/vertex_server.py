"""Vertex AI's server of custom prediction routines, with a predictor of one's own; one uvicorn worker."""

import os
import sys
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    port, folder, kind = sys.argv[1:]
    os.environ |= {
        "AIP_HTTP_PORT": port,
        "AIP_HEALTH_ROUTE": "/health",
        "AIP_PREDICT_ROUTE": "/predict",
        "AIP_STORAGE_URI": folder,
        "HANDLER_MODULE": "google.cloud.aiplatform.prediction.handler",
        "HANDLER_CLASS": "PredictionHandler",
        "PREDICTOR_MODULE": "vertex_server",
        "PREDICTOR_CLASS": "Churn",
        "MODEL_KIND": kind,
    }
    import uvicorn
    from google.cloud.aiplatform.prediction.model_server import CprModelServer

    uvicorn.run(CprModelServer(), host="127.0.0.1", port=int(port), log_level="warning", access_log=False)
else:
    import scorers
    from google.cloud.aiplatform.prediction.predictor import Predictor

    class Churn(Predictor):
        def load(self, artifacts_uri: str, **kwargs: Any) -> None:
            self.score = scorers.load(os.environ["MODEL_KIND"], Path(artifacts_uri))

        def predict(self, instances: Any) -> Any:
            return {"predictions": self.score(instances["instances"])}
