"""The official schemas of what a manifest may hold, as other people's packages carry them."""

from __future__ import annotations

from typing import Any

import kubernetes_validate

VERSIONS = ("1.30.0", "1.37.0")  # the oldest that knows all fields as stable or beta, and the newest


def check(document: dict[str, Any]) -> None:
    """Raises where an object isn't what the API's own schema says, or has a field that the schema doesn't know."""
    if document["apiVersion"].startswith("trainer.kubeflow.org/"):
        _check_trainer(document)
    else:
        for version in VERSIONS:
            kubernetes_validate.validate(document, version, strict=True)


def _check_trainer(document: dict[str, Any]) -> None:
    """By the models that Kubeflow generates from its CRDs; they drop what they don't know. The Job within is also checked as a Job."""
    from kubeflow_trainer_api import models

    model = {"TrainJob": models.TrainerV1alpha1TrainJob, "TrainingRuntime": models.TrainerV1alpha1TrainingRuntime}[document["kind"]]
    understood = model.from_dict(document)
    assert understood is not None and understood.to_dict() == document, "the CRD doesn't know all of it"
    if document["kind"] == "TrainingRuntime":
        for replicated in document["spec"]["template"]["spec"]["replicatedJobs"]:
            check({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "job"}, "spec": replicated["template"]["spec"]})
