"""Multi-task optimization for any PyTorch model, at the price of one ordinary backward.

>>> import emtl, torch
>>> balancer = emtl.Balancer(emtl.create("emtl", num_tasks=2))
>>> shared, towers = torch.nn.Linear(8, 4), [torch.nn.Linear(4, 1), torch.nn.Linear(4, 1)]
>>> views = balancer.fork(shared(torch.ones(16, 8)).relu())
>>> losses = torch.stack([(tower(view) - 3).square().mean() for tower, view in zip(towers, views)])
>>> balancer.total(losses).backward()
>>> round(balancer.weights.sum().item(), 6)
2.0
"""

from emtl.balancer import Balancer
from emtl.equity import Equity, equity
from emtl.strategies import EMTL, Equal, Normalized
from emtl.strategy import Needs, Strategy, Tasks, check_options, create, names, options, register

__all__ = [
    "EMTL",
    "Balancer",
    "Equal",
    "Equity",
    "Needs",
    "Normalized",
    "Strategy",
    "Tasks",
    "check_options",
    "create",
    "equity",
    "names",
    "options",
    "register",
]
