"""The Dockerfile and the Compose file, without an engine: their linters, and what those don't look at."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

PROJECT = Path(__file__).parents[2]
DOCKER = PROJECT / "docker"
COMPOSE = yaml.safe_load((DOCKER / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]


def checked(program: str, *arguments: str | Path) -> None:
    """Run a linter; its complaints fail the test, its absence skips it."""
    if shutil.which(program) is None:
        pytest.skip(f"no {program}: pip install -e .[lint]")
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_hadolint_has_nothing_to_say() -> None:
    checked("hadolint", DOCKER / "Dockerfile")


def test_the_compose_file_agrees_with_the_specification() -> None:
    checked("check-jsonschema", "--builtin-schema", "vendor.compose-spec", DOCKER / "compose.yaml")


def test_images_are_named_by_version_and_digest() -> None:
    pinned = re.compile(r"[a-z/]+:[\w.-]*\d[\w.-]*@sha256:[0-9a-f]{64}")
    base = re.search(r"ARG PYTHON_IMAGE=(\S+)", (DOCKER / "Dockerfile").read_text())
    assert base is not None
    images = {service["image"] for service in SERVICES.values()} - {"recsys"} | {base[1]}
    assert len(images) == 3 and all(pinned.fullmatch(image) for image in images)
    assert all(service["pull_policy"] == "never" for service in SERVICES.values() if service["image"] == "recsys")


def test_every_service_runs_without_rights() -> None:
    for name, service in SERVICES.items():
        assert service["cap_drop"] == ["ALL"] and service["security_opt"] == ["no-new-privileges:true"], name
        assert not {"privileged", "cap_add", "devices", "network_mode"} & service.keys(), name
        assert service["image"] == "recsys" or service["user"] not in ("root", "0"), name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
    assert "USER 1000" in (DOCKER / "Dockerfile").read_text()


def test_services_wait_for_what_is_healthy() -> None:
    for name, service in SERVICES.items():
        for other, wait in service.get("depends_on", {}).items():
            assert wait == {"condition": "service_healthy"} and "healthcheck" in SERVICES[other], (name, other)
    assert SERVICES["mlflow"]["depends_on"].keys() == {"postgres", "s3"}
    assert SERVICES["demo"]["depends_on"].keys() == SERVICES["trainer"]["depends_on"].keys() == {"mlflow"}


def test_jobs_cannot_reach_the_database_or_the_store() -> None:
    networks = {name: set(service["networks"]) for name, service in SERVICES.items()}
    assert not (networks["trainer"] | networks["demo"]) & (networks["postgres"] | networks["s3"])
    assert all(COMPOSE["networks"][network]["internal"] for network in networks["postgres"] | networks["s3"])


def test_secrets_come_from_the_environment_alone() -> None:
    assert all(secret.keys() == {"environment"} for secret in COMPOSE["secrets"].values())
    for name, service in SERVICES.items():
        given = {secret if isinstance(secret, str) else secret["source"] for secret in service["secrets"]}
        assert given <= COMPOSE["secrets"].keys(), name
        named = [variable for variable in service["environment"] if re.search("PASSWORD|SECRET|TOKEN", variable)]
        assert named in ([], ["POSTGRES_PASSWORD_FILE"]), name
    ignored = (PROJECT / ".gitignore").read_text().splitlines(), (PROJECT / ".dockerignore").read_text().splitlines()
    assert "/docker/.env" in ignored[0] and ignored[1][1] == "*" and "!docker" not in ignored[1]


@pytest.mark.parametrize("service", ["s3", "mlflow", "trainer", "demo"])
def test_secrets_become_variables_of_the_program(service: str, tmp_path: Path) -> None:
    """The shell line before the programs, with another folder in the place of /run/secrets."""
    secret = "a b$c'd\"e`f\\g"
    (tmp_path / "PGPASSWORD").write_text(secret + "\n")
    entrypoint = [word.replace("$$", "$").replace("/run/secrets", str(tmp_path)) for word in SERVICES[service]["entrypoint"]]
    told = subprocess.run([*entrypoint, "printenv", "PGPASSWORD"], capture_output=True, text=True, check=True).stdout
    assert told == secret + "\n"
