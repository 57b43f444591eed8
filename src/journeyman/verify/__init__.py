"""Is it what it says it is: the library's own checks, for your heads and policies too."""

from journeyman.verify._check import Check as Check
from journeyman.verify._check import Verification as Verification
from journeyman.verify._density import density as density
from journeyman.verify._gradient import baseline as baseline
from journeyman.verify._gradient import gradient as gradient
from journeyman.verify._problems import ExactProblem as ExactProblem
from journeyman.verify._problems import chain_policy as chain_policy
from journeyman.verify._problems import erring_policy as erring_policy
from journeyman.verify._problems import exact_problems as exact_problems
from journeyman.verify._problems import linear_policy as linear_policy
