"""Gradient → direction: Euclidean, or the Fisher metric of the policy's distributions."""

from journeyman.geometry._geometry import AbstractGeometry as AbstractGeometry
from journeyman.geometry._geometry import Direction as Direction
from journeyman.geometry._geometry import Euclidean as Euclidean
from journeyman.geometry._geometry import Fisher as Fisher
from journeyman.geometry._geometry import fisher_vector_product as fisher_vector_product
