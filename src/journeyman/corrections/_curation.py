"""Choosing among demonstrations: hold some out, keep only few, or as many as others have."""

import dataclasses
from typing import Any

import jax
import numpy as np

from journeyman.corrections._packing import packed
from journeyman.episodes import POLICY, SYNTHETIC, Episodes
from journeyman.parts import JourneymanError, refuse


def demonstrated(episodes: Episodes) -> np.ndarray:
    """Which episodes are demonstrations `(episodes,)`, in the order of `unpack`: those that a demonstrator acted in.

    What is left out are steps that somebody made up (SYNTHETIC: corrective labels, noisy copies) and, beside
    demonstrations, what a policy played while its learner was asked about it. Where no demonstrator acted at all, what
    policies played are the demonstrations.
    """
    return _demonstrated(list(episodes.unpack()))


def _demonstrated(pieces: list[Episodes]) -> np.ndarray:
    sources = [np.asarray(piece.source)[piece.valid] for piece in pieces]
    played = np.asarray([not (source == SYNTHETIC).any() for source in sources], bool)
    shown = played & [not (source == POLICY).any() for source in sources]
    return shown if shown.any() else played


def lacks_steps(episode: Episodes) -> bool:
    """Whether steps of an episode (a stream without batch axis) are missing at its beginning or on the way."""
    return bool(episode.elapsed[0] != 0 or not np.asarray(episode.valid).all())


def hold_out(episodes: Episodes, fraction: float = 0.1, seed: int = 0) -> tuple[Episodes, Episodes]:
    """Split into training and held-out data: `round(fraction · n)` of the n demonstrations, at least one on each side.

    Whole episodes go to one side. Neighbouring frames are nearly equal, so a split by frame would test on what
    was trained on. The order of episodes is kept on both sides; the same `seed` gives the same split. Both sides
    have one row an episode, unfinished episodes included, or several where that would be mostly padding.

    What is no demonstration (see `demonstrated`) is never held out: what is told of held-out data is told of
    demonstrations. A made-up step that leads to a state of a held-out episode, as its corrective labels do, is on
    neither side: it would show the learner what it is to be tested on.

    Raises `JourneymanError` for a fraction outside (0, 1) and for fewer than two demonstrations.
    """
    found = list(episodes.unpack())
    shown = _demonstrated(found)
    total = int(shown.sum())
    problems = []
    if not 0 < fraction < 1:
        problems.append(f"The held-out fraction is {fraction}; choose one between 0 and 1, such as 0.1.")
    if total < 2:
        problems.append(
            f"There is nothing to hold out: the data has {total} episode{'' if total == 1 else 's'}, and both"
            " sides of the split need one; record more, or hold nothing out (--held-out 0)."
        )
    refuse(problems)
    count = min(max(round(fraction * total), 1), total - 1)
    held = np.zeros(len(found), bool)
    held[np.flatnonzero(shown)[np.random.default_rng(seed).permutation(total)[:count]]] = True
    apart = [episode for episode, out in zip(found, held, strict=True) if out]
    told = _states(apart)
    training = [
        episode
        for episode, out in zip(found, held, strict=True)
        if not out and not (_is_made_up(episode) and _states([episode], last=True) & told)
    ]
    return packed(training), packed(apart)


def _is_made_up(piece: Episodes) -> bool:
    return bool((np.asarray(piece.source)[piece.valid] == SYNTHETIC).all())


def _states(pieces: list[Episodes], last: bool = False) -> set[bytes]:
    """The observations of these episodes, or the last ones alone, as what can be looked up."""
    found: set[bytes] = set()
    for piece in pieces:
        leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(piece.observation)]
        steps = range(len(piece.valid) if last else 0, len(piece.valid) + 1)
        found |= {b"".join(leaf[step].tobytes() for leaf in leaves) for step in steps}
    return found


def thin(
    data: Episodes,
    *,
    episodes: int | None = None,
    steps_per_episode: int | None = None,
    window: bool = False,
    seed: int = 0,
) -> Episodes:
    """Fewer demonstrations: `episodes` of them at random, and of each only `steps_per_episode` steps.

    The steps kept are spread evenly from the first to the last (the subsampling of the imitation literature:
    many starts, little data), or with `window` one run of successive steps at a random place. Spread steps stay
    where they are and the others become invalid, so each kept step still has its true successor and its `elapsed`;
    a window is cut out of the episode. The order of episodes is kept. `None` keeps all.

    Returns summed over thinned episodes leave out what was thinned away: use them for cloning, not for weights.
    Split with `hold_out` before or after; both see whole episodes. With one spread step an episode the first one
    is kept and its end is not.

    Source of the even spread: Ho & Ermon, Generative adversarial imitation learning (2016), section 6.
    Deviation: their offset is random and the last step may be lost; here first and last are always kept.

    Raises `JourneymanError` for counts below one and for more episodes than there are.
    """
    found = list(data.unpack())
    if not found:
        raise JourneymanError("There is nothing to thin: no step of the data is valid; record at least one episode.")
    problems = []
    if episodes is not None and not 1 <= episodes <= len(found):
        problems.append(f"Cannot keep {episodes} episodes: the data has {len(found)}; choose 1 to {len(found)}.")
    if steps_per_episode is not None and steps_per_episode < 1:
        problems.append(f"Cannot keep {steps_per_episode} steps an episode; keep at least 1.")
    refuse(problems)
    random = np.random.default_rng(seed)
    if episodes is not None:
        found = [found[i] for i in np.sort(random.permutation(len(found))[:episodes])]
    if steps_per_episode is not None:
        found = [
            _window(episode, steps_per_episode, random) if window else _spread(episode, steps_per_episode)
            for episode in found
        ]
    return packed(found)


def repeated(data: Episodes, steps: int, seed: int = 0) -> Episodes:
    """Exactly `steps` single steps of `data`, each as often as any other or once more, in random order, a row for each.

    Data of different size then cost the same training, a pass over them takes equally many gradient steps, and one
    compiled program serves them all: what a fair comparison of data wants. Each step keeps everything that is recorded
    of it. With fewer `steps` than there are, some are left out at random.

    Raises `JourneymanError` for fewer than one step, and for data without a valid one.
    """
    valid = np.asarray(data.valid)
    found = [] if steps >= 1 else [f"Cannot make {steps} steps; ask for 1 or more."]
    found += [] if valid.any() else ["There is no step to repeat: none is valid; record at least one."]
    refuse(found)
    place = np.resize(np.random.default_rng(seed).permutation(int(valid.sum())), steps)

    def chosen(leaf: Any) -> np.ndarray:
        return np.asarray(leaf)[valid][place]

    names = [name for name in Episodes.__dataclass_fields__ if name != "observation"]
    fields = {name: jax.tree.map(lambda leaf: chosen(leaf)[:, None], getattr(data, name)) for name in names}
    seen = jax.tree.map(lambda now, after: np.stack([chosen(now), chosen(after)], axis=1), data.now, data.next)
    return Episodes(observation=seen, **fields)


def _spread(episode: Episodes, count: int) -> Episodes:
    there = np.flatnonzero(episode.valid)
    if len(there) <= count:
        return episode
    keep = np.zeros(len(episode.valid), bool)
    keep[there[np.linspace(0, len(there) - 1, count).round().astype(int)]] = True
    # An end may not stand on an invalid step: where the last step goes, the episode is left unfinished.
    return dataclasses.replace(
        episode,
        valid=keep,
        reward=np.where(keep, episode.reward, 0).astype(episode.reward.dtype),
        terminated=episode.terminated & keep,
        truncated=episode.truncated & keep,
    )


def _window(episode: Episodes, count: int, random: np.random.Generator) -> Episodes:
    steps = len(episode.valid)
    if steps <= count:
        return episode
    start = int(random.integers(steps - count + 1))
    return episode.cut(start, start + count)
