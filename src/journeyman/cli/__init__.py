"""The verbs on the command line, made from the types of the sessions."""

from journeyman.cli._main import main as main
from journeyman.cli._verbs import VERBS as VERBS
