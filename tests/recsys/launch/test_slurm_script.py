"""What reaches Slurm's batch scripts arrives as it was given."""

from __future__ import annotations

import string
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from recsys.errors import InputError
from recsys.launch.agent import AGENT
from recsys.launch.job import Job, now
from recsys.launch.slurm import Slurm
from recsys.launch.slurm_array import submit_array
from recsys.launch.slurm_profile import SlurmProfile
from recsys.launch.slurm_script import array_script

SHELLCHECK = Path(sys.executable).parent / "shellcheck"

# Stands before a script: srun prints its words, and the variables that are asked for, each with a zero byte behind it.
HARNESS = """
export SLURM_JOB_ID=7 SLURM_JOB_NODELIST=n[1-2] SLURM_CPUS_PER_TASK=1 SLURM_ARRAY_TASK_ID=$ELEMENT SLURM_ARRAY_JOB_ID=7
scontrol() { case "$*" in *hostnames*) printf 'n1\\nn2\\n' ;; *) echo "NodeName=x NodeAddr=10.0.0.${4#n} Version=1" ;; esac; }
srun() { printf '%s\\0' "$@"; for name in $ASKED; do printf '%s\\0' "${!name}"; done; }
"""

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30)
LINE = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1, max_size=30)
WORD = st.text("ab c'\"$`\\\t\n;&|<>(){}*?!#%~=-é", max_size=12)
NAME = st.text(string.ascii_uppercase, min_size=3, max_size=8).map(lambda name: f"T_{name}")
FOLDER_NAME = st.text("ab c'\"$`;&|<>(){}*?!#%~=-é", min_size=1, max_size=12).filter(lambda name: name.strip(".") != "")


def job_in(workdir: Path, profile: SlurmProfile, nodes: int = 2) -> Job:
    return Job(name="a-job", key="k", config="c.yaml", overrides=[], profile=profile, nodes=nodes, nproc=1, workdir=workdir, created=now())


def profile(**keys: Any) -> SlurmProfile:
    return SlurmProfile.model_validate({"engine": "slurm", **keys})


def run(script: str, folder: Path, asked: str = "", element: int = 0) -> list[str]:
    """What srun is given, and the variables, when bash runs the script in the harness."""
    environment = {"PATH": "/usr/bin:/bin", "ASKED": asked, "ELEMENT": str(element)}
    done = subprocess.run(["bash"], input=(HARNESS + script).encode(), capture_output=True, cwd=folder, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode().split("\0")[:-1]


@settings(max_examples=40)
@given(folder=FOLDER_NAME, environment=st.dictionaries(NAME, TEXT, max_size=4), python=LINE)
def test_folders_and_variables_of_a_job_arrive_as_they_are(
    tmp_path_factory: pytest.TempPathFactory, folder: str, environment: dict[str, str], python: str
) -> None:
    workdir = tmp_path_factory.mktemp("w") / folder
    job = job_in(workdir, profile(environment=environment, python=python))
    job.folder.mkdir(parents=True)
    found = run(Slurm().render(job), workdir, " ".join(environment))
    words = found[: len(found) - len(environment)]
    assert found[len(words) :] == list(environment.values())
    command = words[words.index("task") + 1 :]
    assert command[:3] == [python, *AGENT]
    assert command[-4:] == ["pipelines.train", str(job.config_file), f"--output={job.output}", "--resume-or-start"]
    assert {f"--log-dir={job.logs}/attempts", "--rdzv-id=7.0", "--nnodes=2", "--nproc-per-node=1"} < set(command)
    assert any(word.startswith("--rdzv-endpoint=10.0.0.1:1000") for word in command)
    assert (job.folder / "slurm.log").read_text().splitlines()[-1].endswith("7 0 ended 0")


@settings(max_examples=40)
@given(commands=st.lists(st.lists(WORD, min_size=1, max_size=5), min_size=1, max_size=4), data=st.data())
def test_words_of_an_array_arrive_as_they_are(
    tmp_path_factory: pytest.TempPathFactory, commands: list[list[str]], data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("array")
    element = data.draw(st.integers(0, len(commands) - 1))
    script = array_script("all", profile(), commands, 2, folder, folder)
    words = run(script, folder, element=element)
    assert words[words.index("task") + 1 :] == commands[element]
    assert f"#SBATCH --array=0-{len(commands) - 1}%2\n" in script


FULL = profile(
    partition="gpu,spare",
    account="a b",
    constraint="[rack1|rack2]",
    gpus=4,
    gpu_type="h100",
    cpus=16,
    memory="200G",
    time_limit="1-12:00:00",
    requeues=0,
    options={"exclusive": None, "comment": "it's # 1"},
    environment={"A": "b 'c'"},
    setup=["module load cuda", "source venv/bin/activate"],
    image="docker://site/trainer:2",
    mounts=["/data:/data:ro"],
)


def test_what_a_profile_asks_for() -> None:
    script = Slurm().render(job_in(Path("/shared/w"), FULL).model_copy(update={"nproc": 4}))
    options = [line.removeprefix("#SBATCH --") for line in script.splitlines() if line.startswith("#SBATCH")]
    assert options == [
        "job-name=a-job",
        "nodes=2",
        "ntasks-per-node=1",
        "cpus-per-task=16",
        "gpus-per-node=h100:4",
        "mem=200G",
        "time=1-12:00:00",
        "partition=gpu,spare",
        'account="a b"',
        'constraint="[rack1|rack2]"',
        "exclusive",
        'comment="it\'s # 1"',
        "no-requeue",
        "signal=USR1@60",
        "open-mode=append",
        "output=/shared/w/jobs/a-job/logs/agent.log",
        "chdir=/shared/w",
    ]
    assert (
        script.index("export A='b '\"'\"'c'\"'\"''") < script.index("\nmodule load cuda\nsource venv/bin/activate\n") < script.index("srun")
    )


def test_containers() -> None:
    apptainer = Slurm().render(job_in(Path("/shared/w"), FULL))
    words = " ".join(apptainer[apptainer.index("command=(") : apptainer.index("# Runs on each")].split())
    assert (
        "apptainer exec --nv --bind=/shared/w:/shared/w --bind=/data:/data:ro --pwd=/shared/w docker://site/trainer:2 python -m torch"
        in words
    )
    pyxis = Slurm().render(job_in(Path("/shared/w"), FULL.model_copy(update={"container": "pyxis"})))
    assert (
        "--kill-on-bad-exit=1 --container-image=docker://site/trainer:2 --container-mounts=/shared/w:/shared/w,/data:/data:ro "
        "--container-workdir=/shared/w \\\n  bash -c" in pyxis
    )


@pytest.mark.parametrize("chosen", [profile(), FULL, FULL.model_copy(update={"container": "pyxis"})], ids=["least", "apptainer", "pyxis"])
def test_scripts_pass_shellcheck(chosen: SlurmProfile, tmp_path: Path) -> None:
    job = Slurm().render(job_in(Path("/shared/a b"), chosen.model_copy(update={"setup": []})))
    array = array_script("all", chosen.model_copy(update={"setup": []}), [["recsys", "train", "a b"], ["true"]], 1, tmp_path, tmp_path)
    for script in (job, array):
        # Commas in words are meant; the function is run through `declare -f`.
        checked = subprocess.run([SHELLCHECK, "--exclude=SC2054,SC2329,SC2317", "-"], input=script, capture_output=True, text=True)
        assert checked.stdout == ""


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"partition": "a\nb"}, "partition"),
        ({"options": {"output": "x"}}, "output is set by the engine"),
        ({"options": {"--exclusive": None}}, "options"),
        ({"environment": {"A B": "1"}}, "'A B' is no variable that a shell can set"),
        ({"environment": {"A": "a\0"}}, "zero byte"),
        ({"setup": ["a\0"]}, "setup"),
        ({"time_limit": 86400}, 'must be like "24:00:00"'),
        ({"time_limit": "soon"}, 'must be like "24:00:00"'),
        ({"time_limit": "0:02:00", "stop_seconds": 30}, r"time_limit must be longer than stop_seconds \+ 90"),
        ({"memory": "lots"}, "such as 200G"),
        ({"mounts": ["/a:/a"]}, "mounts need an image"),
        ({"image": "x", "mounts": ["/a,b:/a"]}, "mounts"),
        ({"gpu_type": "h100"}, "gpu_type needs gpus"),
    ],
)
def test_a_profile_that_could_not_work_is_refused(keys: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        profile(**keys)


@pytest.mark.parametrize("name", ["a\nb", "a\\b", "a\tb"])
def test_folders_that_no_script_can_name_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="which Slurm can't take; use another folder"):
        Slurm().check(job_in(tmp_path / name, profile()))
    with pytest.raises(InputError, match="which Slurm can't take"):
        submit_array("all", profile(), [["true"]], 1, tmp_path / name)


def test_more_processes_than_gpus_are_refused() -> None:
    job = job_in(Path("/w"), profile(gpus=2)).model_copy(update={"nproc": 3})
    with pytest.raises(InputError, match=r"--nproc 3: the profile asks for 2 GPU\(s\)"):
        Slurm().check(job)


def test_no_slurm_here_is_told_in_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        InputError, match=r"^sbatch is not on PATH; launch where Slurm's commands are, such as on a login node of the cluster$"
    ):
        submit_array("all", profile(), [["true"]], 1, tmp_path / "array")
