"""torchrun's agent, which tells failures that another attempt may mend from those that it can't."""

from __future__ import annotations

from torch.distributed.elastic.agent.server.api import RunResult, WorkerGroup
from torch.distributed.elastic.agent.server.local_elastic_agent import LocalElasticAgent

from recsys.errors import InputError
from recsys.training.launcher import CODES


class Agent(LocalElasticAgent):
    """Has no attempts left once a worker ended with bad input."""

    def _monitor_workers(self, worker_group: WorkerGroup) -> RunResult:
        result = super()._monitor_workers(worker_group)
        if any(failure.exitcode == CODES[InputError] for failure in result.failures.values()):
            self._remaining_restarts = 0
        return result
