"""One small module a strategy. A new one is its module and its line here."""

from emtl.strategies.aligned import AlignedMTL
from emtl.strategies.balancer import LossBalancer
from emtl.strategies.bandit import Bandit
from emtl.strategies.cagrad import CAGrad
from emtl.strategies.chebyshev import Chebyshev
from emtl.strategies.config import ConFIG
from emtl.strategies.dbmtl import DBMTL
from emtl.strategies.dualproj import DualProj
from emtl.strategies.dwa import DWA
from emtl.strategies.emtl import EMTL
from emtl.strategies.equal import Equal
from emtl.strategies.excess import Excess
from emtl.strategies.fairgrad import FairGrad
from emtl.strategies.famo import FAMO
from emtl.strategies.fixed import Fixed
from emtl.strategies.geometric import Geometric
from emtl.strategies.gradcraft import GradCraft
from emtl.strategies.graddrop import GradDrop
from emtl.strategies.gradnorm import GradNorm
from emtl.strategies.gradvac import GradVac
from emtl.strategies.imtl_g import IMTLG
from emtl.strategies.log import Log
from emtl.strategies.metabalance import MetaBalance
from emtl.strategies.mgda import MGDA
from emtl.strategies.moco import MoCo
from emtl.strategies.multibalance import MultiBalance
from emtl.strategies.nash import NashMTL
from emtl.strategies.normalized import Normalized
from emtl.strategies.pcgrad import PCGrad
from emtl.strategies.pe_ltr import PELTR
from emtl.strategies.random import Random
from emtl.strategies.smoothed import Smoothed
from emtl.strategies.uncertainty import Uncertainty
from emtl.strategies.uncertainty_soft import UncertaintySoft
from emtl.strategies.upgrad import UPGrad

__all__ = [
    "DBMTL",
    "DWA",
    "EMTL",
    "FAMO",
    "IMTLG",
    "MGDA",
    "PELTR",
    "AlignedMTL",
    "Bandit",
    "CAGrad",
    "Chebyshev",
    "ConFIG",
    "DualProj",
    "Equal",
    "Excess",
    "FairGrad",
    "Fixed",
    "Geometric",
    "GradCraft",
    "GradDrop",
    "GradNorm",
    "GradVac",
    "Log",
    "LossBalancer",
    "MetaBalance",
    "MoCo",
    "MultiBalance",
    "NashMTL",
    "Normalized",
    "PCGrad",
    "Random",
    "Smoothed",
    "UPGrad",
    "Uncertainty",
    "UncertaintySoft",
]
