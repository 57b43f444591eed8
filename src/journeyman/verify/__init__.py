"""Is it what it says it is: the library's own checks, for your heads and policies too."""

from journeyman.verify._check import Check as Check
from journeyman.verify._check import Verification as Verification
from journeyman.verify._density import density as density
