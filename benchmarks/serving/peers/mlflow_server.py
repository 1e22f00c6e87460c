"""MLflow's scoring server: the model is saved as a pyfunc and served as `mlflow models serve` does."""

import os
import sys
import tempfile
from pathlib import Path
from typing import Any


def main(port: str, folder: str, kind: str) -> None:
    import mlflow

    place = Path(folder) / f"mlflow-{kind}"
    if not place.exists():
        import pandas as pd
        import scorers

        class Churn(mlflow.pyfunc.PythonModel):
            def load_context(self, context: Any) -> None:
                self.score = scorers.load(kind, Path(context.artifacts["model"]))

            def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> Any:
                return self.score(model_input.astype(object).where(model_input.notna(), None).to_dict("records"))

        if kind == "sklearn":
            import joblib

            pipeline = joblib.load(Path(folder) / "pipeline.joblib")
            with tempfile.TemporaryDirectory() as made:
                mlflow.sklearn.save_model(
                    pipeline,
                    Path(made) / "model",
                    pyfunc_predict_fn="predict_proba",
                    serialization_format="cloudpickle",
                )
                (Path(made) / "model").rename(place)
        else:
            artifacts = {"model": str(folder)}
            mlflow.pyfunc.save_model(place, python_model=Churn(), artifacts=artifacts, code_paths=[scorers.__file__])
    command = ["mlflow", "models", "serve", "-m", str(place), "-p", port, "--env-manager", "local", "-w", "1"]
    os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    os.execv(Path(sys.executable).with_name("mlflow"), command)


if __name__ == "__main__":
    main(*sys.argv[1:])
