"""The recipe that corrects demonstrations before they are cloned."""

from journeyman.algorithms._dynamics_model import fit_dynamics
from journeyman.corrections import (
    AbstractDynamics,
    AbstractLabelling,
    AbstractRegion,
    BackTrack,
    Corrected,
    TrustRegion,
    corrective_labels,
)
from journeyman.episodes import Episodes
from journeyman.objectives import AbstractObjective, JacobianPenalty


def ccil(
    episodes: Episodes,
    *,
    method: AbstractLabelling = BackTrack(),
    region: AbstractRegion = TrustRegion(),
    objective: AbstractObjective = JacobianPenalty(),
    members: int = 4,
    epochs: int | None = None,
    truth: AbstractDynamics | None = None,
    seed: int = 0,
) -> Corrected:
    """Corrective labels without an expert, a world or new data: fit the dynamics, and walk back from the data.

        f = argmax_f E_D [log N(s_{t+1} − s_t | f(s_t, a_t))] − weight · E_D [max(‖J_f‖ − limit, 0)]
        D ← D ∪ {(s̃, a_t) : s̃ + f ≈ s_t, the bound on where it lands within the tolerance}

    (Ke et al. 2024.) Clone what comes back: `fit(bc(), policy, ccil(demonstrations).episodes)`. `report` says how many
    labels were kept, where they lie and, with `truth`, how wrong they are; `dynamics` is the model.

    Composition: `fit_dynamics` with `objective`, `members` and `epochs`, then `corrective_labels` with `method` and
    `region`. Both say where they deviate from the paper. Raises `JourneymanError` as they do: where no label can be
    trusted there is nothing to clone but the demonstrations, and that is for the user to decide.
    """
    dynamics = fit_dynamics(episodes, objective=objective, members=members, epochs=epochs, seed=seed)
    return corrective_labels(episodes, dynamics, method=method, region=region, truth=truth, seed=seed)
