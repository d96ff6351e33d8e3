"""One small module a strategy. A new one is its module and its line here."""

from emtl.strategies.balancer import LossBalancer
from emtl.strategies.bandit import Bandit
from emtl.strategies.chebyshev import Chebyshev
from emtl.strategies.dwa import DWA
from emtl.strategies.emtl import EMTL
from emtl.strategies.equal import Equal
from emtl.strategies.famo import FAMO
from emtl.strategies.fixed import Fixed
from emtl.strategies.geometric import Geometric
from emtl.strategies.gradnorm import GradNorm
from emtl.strategies.log import Log
from emtl.strategies.metabalance import MetaBalance
from emtl.strategies.normalized import Normalized
from emtl.strategies.random import Random
from emtl.strategies.smoothed import Smoothed
from emtl.strategies.uncertainty import Uncertainty
from emtl.strategies.uncertainty_soft import UncertaintySoft

__all__ = [
    "DWA",
    "EMTL",
    "FAMO",
    "Bandit",
    "Chebyshev",
    "Equal",
    "Fixed",
    "Geometric",
    "GradNorm",
    "Log",
    "LossBalancer",
    "MetaBalance",
    "Normalized",
    "Random",
    "Smoothed",
    "Uncertainty",
    "UncertaintySoft",
]
