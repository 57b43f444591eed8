"""What the demonstrations themselves score, to stand beside the policy's score."""

import dataclasses
from typing import Any

import jax
import numpy as np

from journeyman.corrections import lacks_steps
from journeyman.datasets._angles import wrapping_columns
from journeyman.datasets._read import Dataset
from journeyman.episodes import Episodes
from journeyman.parts import JourneymanError
from journeyman.worlds import AbstractWorld, replay


@dataclasses.dataclass(frozen=True)
class DemonstrationScore:
    """The demonstrations' own score.

    `returns`   each episode's undiscounted return, float64, or `None` where unknown
    `best`      each episode's highest single reward, or `None` where unknown
    `how`       "recorded", "replayed" or "unknown"
    `departed`  how many replayed episodes did not follow their recording (their score is the replay's)
    `sentence`  the whole of it for a reader, or why nothing is known
    """

    returns: np.ndarray | None
    best: np.ndarray | None
    how: str
    departed: int
    sentence: str


def demonstration_score(data: Dataset | Episodes, world: AbstractWorld | None = None) -> DemonstrationScore:
    """Return and best reward of every demonstration: as recorded, or else by replaying the actions in `world`.

    A replay starts where `world` can be put into the state that the first observation shows, and plays all
    recorded actions, past termination too. It counts as departed from the recording when an observation is ever
    off by more than a tenth of its column's standard deviation (angles compared around the circle); when more
    than half of the episodes depart, the score is unknown. `Episodes` whose rewards are all 0 count as without
    rewards, since 0 stands for unknown; a `Dataset` knows whether the file had them.

    Where nothing can be known there is no error: `sentence` says why.
    """
    returns, best = (data.returns, data.best) if isinstance(data, Dataset) else _recorded(data)
    pieces = list((data.episodes if isinstance(data, Dataset) else data).unpack())
    if returns is not None and best is not None:
        lacking = sum(map(lacks_steps, pieces))
        if lacking:
            return _unknown(f"{lacking} of {len(pieces)} episodes lack steps, and with them rewards")
        return _say(returns, best, "recorded", 0)
    if world is None:
        return _unknown("no rewards are recorded and there is no world to replay the actions in")
    actions = data.actions if isinstance(data, Dataset) else [episode.action for episode in pieces]
    if any(map(lacks_steps, pieces)):
        return _unknown("no rewards are recorded and some episodes lack steps, so they cannot be replayed")
    if not isinstance(pieces[0].observation, np.ndarray):
        return _unknown(
            "no rewards are recorded and the observation is a dictionary, which shows no state to start from"
        )
    try:
        played = [replay(world, e.observation[0], a) for e, a in zip(pieces, actions, strict=True)]
    except JourneymanError as error:
        return _unknown(f"no rewards are recorded and the replay was refused: {str(error).rstrip('.')}")
    departed = _departures(pieces, [play.observation for play in played])
    if departed > len(played) / 2:
        return _unknown(
            f"no rewards are recorded and {departed} of {len(played)} replays do not follow the recording, so the first"
            " observation does not show the whole state or the world is another version"
        )
    rewards = [np.asarray(play.reward, np.float64) for play in played]
    return _say(np.asarray([r.sum() for r in rewards]), np.asarray([r.max() for r in rewards]), "replayed", departed)


def _recorded(episodes: Episodes) -> tuple[np.ndarray | None, np.ndarray | None]:
    pieces = [np.asarray(piece.reward, np.float64)[piece.valid] for piece in episodes.unpack()]
    if not any(piece.any() for piece in pieces):
        return None, None
    return np.asarray([piece.sum() for piece in pieces]), np.asarray([piece.max() for piece in pieces])


def _departures(episodes: list[Episodes], played: list[Any]) -> int:
    flat = [np.asarray(e.observation, np.float64).reshape(len(e.observation), -1) for e in episodes]
    scale = np.concatenate(flat).std(axis=0)
    circle = sorted({column for episode in episodes for column in wrapping_columns(episode)})
    count = 0
    for recorded, replayed in zip(flat, played, strict=True):
        there = np.asarray(jax.tree.leaves(replayed)[0], np.float64)[: len(recorded)].reshape(recorded.shape)
        off = np.abs(there - recorded)
        off[:, circle] = np.minimum(off[:, circle], np.abs(2 * np.pi - off[:, circle]))
        count += bool((off > 0.1 * scale + 1e-6).any())
    return count


def _say(returns: np.ndarray, best: np.ndarray, how: str, departed: int) -> DemonstrationScore:
    many = "" if len(returns) == 1 else "s"
    sentence = (
        f"{len(returns)} demonstration{many}, {how}: mean return {returns.mean():.4g} ({returns.min():.4g} to"
        f" {returns.max():.4g}), mean of each one's best reward {best.mean():.3f}."
    )
    if departed:
        sentence += f" {departed} replays depart from their recording on the way."
    return DemonstrationScore(returns, best, how, departed, sentence)


def _unknown(reason: str) -> DemonstrationScore:
    return DemonstrationScore(None, None, "unknown", 0, f"The demonstrations' own score is unknown: {reason}.")
