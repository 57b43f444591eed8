"""(policy, episodes, w) → value and gradient. There is one loss."""

from journeyman.objectives._divergence import Divergence as Divergence
from journeyman.objectives._likelihood import AbstractObjective as AbstractObjective
from journeyman.objectives._likelihood import Samples as Samples
from journeyman.objectives._likelihood import WeightedLogLikelihood as WeightedLogLikelihood
from journeyman.objectives._lipschitz import JacobianPenalty as JacobianPenalty
from journeyman.objectives._optimal_baseline import VarianceOptimal as VarianceOptimal
from journeyman.objectives._surrogate import ClippedSurrogate as ClippedSurrogate
from journeyman.objectives._surrogate import Surrogate as Surrogate
