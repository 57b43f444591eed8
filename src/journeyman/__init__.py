"""Policy learning from demonstrations to mastery: clone, mend, improve, and measure every step.

The public verbs and namespaces. They are loaded when first used, so that `import journeyman` is quick.
"""

import importlib
import importlib.metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from journeyman import algorithms as algorithms
    from journeyman import collect as collect
    from journeyman import corrections as corrections
    from journeyman import datasets as datasets
    from journeyman import diagnose as diagnose
    from journeyman import episodes as episodes
    from journeyman import experts as experts
    from journeyman import figures as figures
    from journeyman import geometry as geometry
    from journeyman import objectives as objectives
    from journeyman import parts as parts
    from journeyman import policies as policies
    from journeyman import report as report
    from journeyman import sessions as sessions
    from journeyman import training as training
    from journeyman import verify as verify
    from journeyman import weights as weights
    from journeyman import worlds as worlds
    from journeyman.collect import actor as actor
    from journeyman.diagnose import compounding as compounding
    from journeyman.diagnose import evaluate as evaluate
    from journeyman.episodes import Episodes as Episodes
    from journeyman.episodes import concatenate as concatenate
    from journeyman.parts import JourneymanError as JourneymanError
    from journeyman.policies import load as load
    from journeyman.policies import policy as policy
    from journeyman.policies import save as save
    from journeyman.training import Learner as Learner
    from journeyman.training import Plan as Plan
    from journeyman.training import Recorder as Recorder
    from journeyman.training import compile_cache as compile_cache
    from journeyman.training import fit as fit
    from journeyman.training import improve as improve
    from journeyman.training import sweep as sweep
    from journeyman.worlds import world as world

_NAMESPACES = (
    "algorithms collect corrections datasets diagnose episodes experts figures geometry objectives parts policies"
    " report sessions training verify weights worlds"
).split()
_VERBS = {
    "actor": "collect",
    "compounding": "diagnose",
    "evaluate": "diagnose",
    "Episodes": "episodes",
    "concatenate": "episodes",
    "JourneymanError": "parts",
    "load": "policies",
    "policy": "policies",
    "save": "policies",
    "Learner": "training",
    "Plan": "training",
    "Recorder": "training",
    "compile_cache": "training",
    "fit": "training",
    "improve": "training",
    "sweep": "training",
    "world": "worlds",
}
__all__ = [*_NAMESPACES, *_VERBS]  # pyright: ignore[reportUnsupportedDunderAll]
__version__ = importlib.metadata.version("journeyman")


def __getattr__(name: str) -> Any:
    if name in _NAMESPACES:
        return importlib.import_module(f"journeyman.{name}")
    if name in _VERBS:
        return getattr(importlib.import_module(f"journeyman.{_VERBS[name]}"), name)
    raise AttributeError(f"module 'journeyman' has no attribute '{name}'")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
