"""Two small models on one small log, trained once."""

from __future__ import annotations

import pytest
from job_cases import write_job
from offline_jobs import Trained

from recsys.config_file import load_config
from recsys.data.synthetic import Spec, generate
from recsys.training.job import run_job


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("trained")
    log = folder / "log"
    generate(Spec(rows=8_000, users=400, items=200, days=10, seed=5), log)
    uri = f"sqlite:///{folder}/mlflow.db"
    for name, strategy in (("emtl", "emtl"), ("equal", "equal")):
        tracking = {"enabled": True, "uri": uri, "experiment": "small"}
        path = write_job(log, folder, run={"name": name, "output": str(folder / name)}, tracking=tracking)
        config = load_config(path, [f"mto={{strategy: {strategy}}}", "train.steps=40", "evaluate.keep_scores=true"])
        run_job(config, resume=False, overwrite=False, json_file=None)
    return Trained(log, folder, uri)
