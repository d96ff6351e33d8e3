"""One small module a strategy. A new one is its module and its line here."""

from emtl.strategies.emtl import EMTL
from emtl.strategies.equal import Equal
from emtl.strategies.normalized import Normalized

__all__ = ["EMTL", "Equal", "Normalized"]
