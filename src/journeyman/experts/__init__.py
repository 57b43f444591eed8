"""Who can label: a policy, and the experts that come with the package."""

from journeyman.experts._base import AbstractExpert as AbstractExpert
from journeyman.experts._base import PolicyExpert as PolicyExpert
from journeyman.experts._base import shipped as shipped
