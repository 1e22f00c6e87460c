"""What Vertex AI has and the emulator has not: which call of the SDK a request comes from, to say so by its name."""

from __future__ import annotations

import re

# a collection of the REST API -> whose methods reach it in google-cloud-aiplatform, and why it is not served
COLLECTIONS = {
    "cachedContents": ("CachedContent", "it serves no generative models"),
    "dataLabelingJobs": ("JobServiceClient.data_labeling_job", "people label nothing on this machine"),
    "datasets": ("Dataset", "it serves tabular datasets at most"),
    "deploymentResourcePools": ("DeploymentResourcePool", "each deployed model has a server of its own"),
    "endpoints": ("Endpoint", ""),
    "evaluationRuns": ("EvaluationRun", "it serves no generative models"),
    "exampleStores": ("ExampleStore", "it serves no generative models"),
    "extensions": ("Extension", "it serves no generative models"),
    "featureGroups": ("FeatureGroup", "it has no feature store"),
    "featureOnlineStores": ("FeatureOnlineStore", "it has no feature store"),
    "featurestores": ("Featurestore", "it has no feature store"),
    "hyperparameterTuningJobs": ("HyperparameterTuningJob", "headrace tunes within its training step"),
    "indexEndpoints": ("MatchingEngineIndexEndpoint", "it has no vector search"),
    "indexes": ("MatchingEngineIndex", "it has no vector search"),
    "metadataStores": ("Artifact, Context, Execution", ""),
    "modelDeploymentMonitoringJobs": ("ModelDeploymentMonitoringJob", "headrace watches drift in its own pipeline"),
    "modelMonitors": ("ModelMonitor", "headrace watches drift in its own pipeline"),
    "models": ("Model", ""),
    "nasJobs": ("JobServiceClient.nas_job", "it searches no architectures"),
    "notebookExecutionJobs": ("NotebookExecutionJob", "it runs no notebooks"),
    "notebookRuntimeTemplates": ("NotebookRuntimeTemplate", "it runs no notebooks"),
    "notebookRuntimes": ("NotebookRuntime", "it runs no notebooks"),
    "persistentResources": ("PersistentResource", "it has one machine"),
    "pipelineJobs": ("PipelineJob", ""),
    "publishers": ("GenerativeModel", "it serves no generative models"),
    "ragCorpora": ("rag", "it serves no generative models"),
    "reasoningEngines": ("AgentEngine", "it serves no generative models"),
    "schedules": ("PipelineJobSchedule", ""),
    "specialistPools": ("SpecialistPoolServiceClient", "people label nothing on this machine"),
    "studies": ("Study", "it has no Vizier"),
    "tensorboards": ("Tensorboard", ""),
    "trainingPipelines": ("CustomTrainingJob", ""),
    "tuningJobs": ("SupervisedTuningJob", "it serves no generative models"),
}
_VERBS = {"POST": "create", "PATCH": "update", "PUT": "update", "DELETE": "delete"}
_PATH = re.compile(r"/(?:ui|v1(?:beta1)?)/projects/[^/]+/locations/[^/]+/(\w+)(/[^:]+)?(?::(\w+))?")


def told(method: str, path: str) -> str:
    """`Featurestore.create (POST /v1/projects/...): the emulator does not serve this call: it has no feature store`."""
    found = _PATH.fullmatch(path)
    name, why = COLLECTIONS.get(found[1], ("", "")) if found else ("", "")
    if found and name:
        verb = found[3] or _VERBS.get(method) or ("get" if found[2] else "list")
        verb = re.sub("([A-Z])", lambda letter: f"_{letter[1].lower()}", verb)
        shown = ", ".join(f"{one}.{verb}" for one in name.split(", "))
        return f"{shown} ({method} {path}): the emulator does not serve this call" + (f": {why}" if why else "")
    return f"{method} {path}: the emulator does not serve this call"
