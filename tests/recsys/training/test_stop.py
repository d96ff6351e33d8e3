"""A job that is told to stop ends after the same step on every rank, and goes on as if nothing had been."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from model_cases import make_batch, make_layout
from rich.console import Console
from test_resume import as_text, tensors

from recsys.config_file import load_config
from recsys.distributed import World, process_group
from recsys.errors import Stopped
from recsys.models.tasks import label_weight
from recsys.training.assembly import build_trainer
from recsys.training.stop import SIGNALS, Stop
from recsys.training.telemetry import Telemetry
from recsys.training.trainer import Trainer


@pytest.fixture
def world() -> Iterator[World]:
    with process_group() as group:
        yield group


@pytest.fixture
def listen() -> Iterator[Callable[[], Stop]]:
    """Makes one that takes the signals of this process, which gets its own handlers back."""
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def made() -> Stop:
        stop = Stop()
        stop.listen()
        return stop

    yield made
    for number, handler in before.items():
        signal.signal(number, handler)


def trainer_for(path: Path, world: World, output: Path, stop: Stop) -> Trainer:
    output.mkdir(exist_ok=True)
    return build_trainer(load_config(path, [f"run.output={output}"]), world, output, Console(quiet=True), stop=stop)


def signal_after_step(trainer: Trainer, step: int) -> None:
    """Send SIGTERM once `step` steps are done; the step that is under way then is the last one."""
    tell = trainer._tell

    def signalling() -> None:
        tell()
        if trainer.clock.step == step:
            signal.raise_signal(signal.SIGTERM)

    trainer._tell = signalling  # type: ignore[method-assign]


def signal_in_evaluation(trainer: Trainer, number: int) -> None:
    """Send SIGUSR1 in the middle of the `number`-th evaluation."""
    reader = trainer.parts.readers["valid"]
    epoch, begun = reader.epoch, []

    def signalling(*arguments: Any) -> Iterator[Any]:
        begun.append(True)
        for batch in epoch(*arguments):
            if len(begun) == number:
                signal.raise_signal(signal.SIGUSR1)
            yield batch

    reader.epoch = signalling  # type: ignore[assignment]


def test_stops_at_any_moment_change_nothing(
    job_file: Callable[..., Path], world: World, tmp_path: Path, listen: Callable[[], Stop]
) -> None:
    """Within an epoch, in an evaluation within it, at its last step, and in the evaluation at the end; dropout draws as it would have."""
    path = job_file(model={"dropout": 0.2}, train={"epochs": 1}, evaluate={"every": 30}, data={"batch_size": 192})
    unbroken = trainer_for(path, world, tmp_path / "unbroken", Stop())
    unbroken.train()
    last = unbroken.clock.step
    assert last % 30, "the evaluation at the end is one of its own"

    def at_step(step: int) -> Callable[[Trainer], None]:
        return lambda trainer: signal_after_step(trainer, step)

    stops = [(at_step(12), 13), (lambda trainer: signal_in_evaluation(trainer, 1), 30), (at_step(last - 1), last)]
    stops.append((lambda trainer: signal_in_evaluation(trainer, 1), last))
    for place, (arrange, step) in enumerate(stops):
        stop = listen()
        trainer = trainer_for(path, world, tmp_path / "broken", stop)
        if place:
            trainer.resume()
        arrange(trainer)
        stop.wait_for_step()
        with pytest.raises(Stopped, match=f"at step {step}, whose checkpoint is saved"):
            trainer.train()
    resumed = trainer_for(path, world, tmp_path / "broken", Stop())
    resumed.resume()
    assert resumed.clock.step == last
    resumed.train()
    expected, actual = tensors(unbroken._state()), tensors(resumed._state())
    assert expected.keys() == actual.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(actual[name], tensor, rtol=0, atol=0, msg=f"{name} differs")
    assert as_text(resumed) == as_text(unbroken)


def test_a_signal_before_the_first_step_ends_the_process_once(listen: Callable[[], Stop]) -> None:
    stop = listen()
    with pytest.raises(Stopped, match="by SIGUSR1 before its first step"):
        signal.raise_signal(signal.SIGUSR1)
    signal.raise_signal(signal.SIGTERM)  # another one, while the first is dealt with
    assert stop.asked


def test_it_takes_no_message_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes along with the weight of labels, whose values it leaves as they are."""
    sent: list[torch.Tensor] = []
    monkeypatch.setattr(dist, "all_reduce", lambda tensor, **_: sent.append(tensor.clone()))

    class Two:
        def size(self) -> int:
            return 2

    batch = make_batch(make_layout(), 20)
    alone, asked = (label_weight(batch, Two(), stop) for stop in (False, True))  # type: ignore[arg-type]
    assert [tensor.shape for tensor in sent] == [(4,), (4,)] and torch.equal(sent[0][:3], sent[1][:3])
    assert torch.equal(asked.wait(), alone.wait()) and (alone.stops().item(), asked.stops().item()) == (0, 1)


def test_no_value_is_read_on_the_device() -> None:
    """On the `meta` device, which has no values, every such read raises."""
    batch = make_batch(make_layout(), 20)
    batch.weights, batch.masks = batch.weights.to("meta"), batch.masks.to("meta")
    for stop in (False, True):
        found = label_weight(batch, None, stop)
        assert found.wait().shape == (3,) and found.stops().shape == ()


def test_telemetry_hears_of_it_with_the_losses_and_means_go_on() -> None:
    telemetry = Telemetry(["ctr", "cvr"], window=3)
    for step in range(5):
        telemetry.push(step, torch.tensor([step, 2.0]), torch.ones(2), stops=torch.tensor(0.0))
    assert not telemetry.stop
    again = Telemetry(["ctr", "cvr"], window=3)
    again.from_json(telemetry.to_json())
    for each in (telemetry, again):
        each.push(5, torch.tensor([5.0, 2.0]), torch.ones(2), stops=torch.tensor(2.0))
        assert each.stop and each.metrics()["ctr/loss"] == 4.0
    assert again.metrics() == telemetry.metrics()
