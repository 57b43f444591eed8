"""π(action | observation): heads, networks, statistics, and the artefact on disk."""

from journeyman.policies._artefact import inspect as inspect
from journeyman.policies._artefact import load as load
from journeyman.policies._artefact import save as save
from journeyman.policies._base import AbstractDensityPolicy as AbstractDensityPolicy
from journeyman.policies._base import AbstractPolicy as AbstractPolicy
from journeyman.policies._base import DensityPolicy as DensityPolicy
from journeyman.policies._base import floored as floored
from journeyman.policies._base import is_fresh as is_fresh
from journeyman.policies._base import partition as partition
from journeyman.policies._base import policy as policy
from journeyman.policies._base import renormalized as renormalized
from journeyman.policies._base import rescaled as rescaled
from journeyman.policies._heads import AbstractHead as AbstractHead
from journeyman.policies._heads import Bounds as Bounds
from journeyman.policies._heads import Categorical as Categorical
from journeyman.policies._heads import FixedGaussian as FixedGaussian
from journeyman.policies._heads import Gaussian as Gaussian
from journeyman.policies._heads import Scale as Scale
from journeyman.policies._heads import SquashedGaussian as SquashedGaussian
from journeyman.policies._heads import default_head as default_head
from journeyman.policies._network import MLP as MLP
from journeyman.policies._observation import AbstractStatistics as AbstractStatistics
from journeyman.policies._observation import Encoder as Encoder
from journeyman.policies._observation import Normalizer as Normalizer
