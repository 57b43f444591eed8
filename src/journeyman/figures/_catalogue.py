"""The figures of each set, in the order in which the lecture draws them.

Another figure is a function that computes, one that draws, and one line here.
"""

from journeyman._settings import SetName
from journeyman.figures._clouds import labels, noise
from journeyman.figures._clouds_drawn import draw_labels, draw_noise
from journeyman.figures._compounding import compounding
from journeyman.figures._compounding_drawn import draw_compounding
from journeyman.figures._geometry import collapse, coordinates, vanilla_and_natural
from journeyman.figures._geometry_drawn import draw_collapse, draw_coordinates, draw_vanilla_and_natural
from journeyman.figures._horizon import horizon
from journeyman.figures._model import Figure, FigureSet
from journeyman.figures._modes import modes
from journeyman.figures._modes_drawn import draw_modes
from journeyman.figures._tube import ready, trajectories
from journeyman.figures._tube_drawn import draw_trajectories
from journeyman.figures._variance import baselines, causality, centring, samples
from journeyman.figures._variance_drawn import draw_baselines, draw_causality, draw_centring, draw_samples
from journeyman.figures._wider_drawn import draw_horizon
from journeyman.parts import did_you_mean, refuse

POLICY_GRADIENT = FigureSet(
    "Policy gradients in figures",
    (
        Figure("samples", "Single-sample against averaged estimates", samples, draw_samples),
        Figure("causality", "Full return against return-to-go", causality, draw_causality),
        Figure("centring", "Centred and uncentred returns", centring, draw_centring),
        Figure("baselines", "What baselines do to the variance", baselines, draw_baselines),
        Figure("geometry", "Vanilla against natural gradient", vanilla_and_natural, draw_vanilla_and_natural, 4.6),
        Figure("collapse", "Step size against collapse", collapse, draw_collapse),
        Figure("coordinates", "Dependence on the parameterisation", coordinates, draw_coordinates),
        Figure("horizon", "Stationary against time-dependent policies", horizon, draw_horizon),
    ),
)

IMITATION = FigureSet(
    "Imitation in figures",
    (
        Figure("modes", "Mode averaging under each divergence", modes, draw_modes, 3.9),
        Figure("compounding", "Compounding error against the horizon", compounding, draw_compounding, 3.6),
        Figure("labels", "Where the corrective labels lie", labels, draw_labels, 4.0),
        Figure("noise", "The data cloud of noise injection", noise, draw_noise, 3.6),
        Figure("trajectories", "Clones and the expert's tube", trajectories, draw_trajectories, 3.1, ready),
    ),
)

SETS: dict[SetName, FigureSet] = {"policy-gradient": POLICY_GRADIENT, "imitation": IMITATION}


def chosen(only: tuple[str, ...], of: SetName = "policy-gradient") -> tuple[Figure, ...]:
    """The figures of a set that `only` names, or all of them.

    Raises `JourneymanError` for a name that no figure of it has.
    """
    known = {figure.name: figure for figure in SETS[of].figures}
    refuse(
        [
            f"No figure is called '{name}'.{did_you_mean(name, known)} The figures are {', '.join(known)}."
            for name in only
            if name not in known
        ]
    )
    return tuple(figure for name, figure in known.items() if not only or name in only)
