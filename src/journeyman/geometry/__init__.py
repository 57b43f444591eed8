"""Gradient → direction: Euclidean, or the Fisher metric of the policy's distributions."""

from journeyman.geometry._geometry import AbstractGeometry as AbstractGeometry
from journeyman.geometry._geometry import Direction as Direction
from journeyman.geometry._geometry import Euclidean as Euclidean
from journeyman.geometry._metric import AbstractMetric as AbstractMetric
from journeyman.geometry._metric import EmpiricalFisher as EmpiricalFisher
from journeyman.geometry._metric import Factor as Factor
from journeyman.geometry._metric import Fisher as Fisher
from journeyman.geometry._metric import fisher_vector_product as fisher_vector_product
