"""The library's own file: every field back, bit for bit; nothing overwritten; nothing changed unnoticed."""

import json
from collections import OrderedDict, namedtuple
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from journeyman import datasets
from journeyman.episodes import SYNTHETIC, Episodes, concatenate
from journeyman.parts import JourneymanError
from journeyman.worlds import AbstractSpace, Box, Discrete


def batch(*, nested: bool = False, discrete: bool = False) -> Episodes:
    random = np.random.default_rng(0)

    def one(time: int) -> Episodes:
        plain = random.normal(size=(time + 1, 3)).astype(np.float32)
        observation = {"agent": plain, "goal": {"place": plain[:, 0]}, "pair": (plain, plain)} if nested else plain
        action = random.integers(0, 3, time).astype(np.int32) if discrete else plain[:-1, :2]
        reward = random.normal(size=time)
        return Episodes.episode(observation, action, reward, target=action + action, source=SYNTHETIC)

    return concatenate([one(3), one(5)])


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("discrete", [False, True])
@pytest.mark.parametrize("convert", [np.asarray, jnp.asarray])
def test_round_trip(tmp_path: Path, nested: bool, discrete: bool, convert) -> None:
    episodes = jax.tree.map(convert, batch(nested=nested, discrete=discrete))
    path = datasets.write(episodes, tmp_path / "mine.npz")
    data = datasets.read(path)
    assert data.fingerprint == episodes.fingerprint()
    assert jax.tree.structure(data.episodes) == jax.tree.structure(episodes)
    for left, right in zip(jax.tree.leaves(data.episodes), jax.tree.leaves(episodes), strict=True):
        np.testing.assert_array_equal(left, right)
        assert left.dtype == right.dtype
    assert data.returns is not None
    np.testing.assert_allclose(data.returns, episodes.episode_returns(), rtol=1e-6)
    assert [len(actions) for actions in data.actions] == [3, 5]
    assert data.notes == []


def test_a_single_stream_and_the_bare_path(tmp_path: Path) -> None:
    stream = next(batch().unpack())
    assert datasets.write(stream, str(tmp_path / "mine")) == tmp_path / "mine"  # no suffix is added behind one's back
    assert datasets.read(tmp_path / "mine").episodes.batch_shape == ()


def test_nothing_is_overwritten_without_permission(tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    path.write_text("precious")
    with pytest.raises(JourneymanError, match="exists already; choose another path, or allow it to be replaced"):
        datasets.write(batch(), path)
    assert path.read_text() == "precious"
    datasets.write(batch(), path, overwrite=True)
    assert datasets.read(path).episodes.num_steps == 8
    with pytest.raises(JourneymanError, match="does not exist; create it first"):
        datasets.write(batch(), tmp_path / "nowhere" / "mine.npz")
    with pytest.raises(JourneymanError, match="is a folder; name a file"):
        datasets.write(batch(), tmp_path, overwrite=True)


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = datasets.write(batch(), tmp_path / "mine.npz")
    before = path.read_bytes()

    def fail(*_: object, **__: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez_compressed", fail)
    with pytest.raises(OSError, match="disk full"):
        datasets.write(batch(nested=True), path, overwrite=True)
    assert path.read_bytes() == before
    assert [item.name for item in tmp_path.iterdir()] == ["mine.npz"]


ONES = np.ones((4, 1), np.float32)

Pair = namedtuple("Pair", "left right")

NOT_KEPT = {
    "another dictionary": (OrderedDict(z=ONES, b=ONES), r"a PyTreeDef\(.*OrderedDict.* would come back as"),
    "a named tuple": (Pair(ONES, ONES), r"a PyTreeDef\(.*Pair.* would come back as"),
    "keys that are no words": ({0: ONES, 1: ONES}, r"words as keys"),
    "keys that are alike on disk": ({"a.b": ONES, "a": {"b": ONES}}, r"Two arrays would be called 'observation\.a\.b'"),
    "a key that a name cannot hold": ({"a\0b": ONES}, r"cannot keep 'observation\.a\\x00b'"),
    "numbers that no file knows": (jnp.ones((4, 1), jnp.bfloat16), r"cannot keep 'observation', an array of bfloat16"),
}


@pytest.mark.parametrize("name", ["mine.npz", "mine.h5"])
@pytest.mark.parametrize("what", NOT_KEPT)
def test_what_would_not_come_back_is_refused_and_the_earlier_file_stays(tmp_path: Path, name: str, what: str) -> None:
    path = datasets.write(batch(), tmp_path / name)
    before = path.read_bytes()
    observation, words = NOT_KEPT[what]
    with pytest.raises(JourneymanError, match=words):
        datasets.write(Episodes.episode(observation, ONES[:3]), path, overwrite=True)
    assert path.read_bytes() == before
    assert [item.name for item in tmp_path.iterdir()] == [name]


def test_an_observation_of_nothing_in_part_comes_back(tmp_path: Path) -> None:
    episodes = Episodes.episode({"seen": ONES, "unseen": None}, ONES[:3])
    found = datasets.read(datasets.write(episodes, tmp_path / "mine.npz")).episodes
    assert found.observation["unseen"] is None
    assert found.fingerprint() == episodes.fingerprint()


def rewritten(path: Path, change) -> str:
    with np.load(path) as file:
        content = dict(file)
    header = json.loads(str(content["journeyman_episodes"]))
    change(content, header)
    np.savez(path, **{**content, "journeyman_episodes": np.asarray(json.dumps(header))})
    with pytest.raises(JourneymanError) as error:
        datasets.read(path)
    return str(error.value)


def test_tampering_is_seen(tmp_path: Path) -> None:
    def new() -> Path:
        return datasets.write(batch(), tmp_path / "mine.npz", overwrite=True)

    def lie(content: dict, _: dict) -> None:
        content["reward"][0, 0] += 1

    assert "it was changed after it was written" in rewritten(new(), lie)
    assert "has format version 2 and this version of the library reads 1" in rewritten(
        new(), lambda _, header: header.update(version=2)
    )
    assert "the fields ['reward'] are missing or unknown" in rewritten(
        new(), lambda _, header: header["fields"].pop("reward")
    )
    assert "the array 'reward' is missing" in rewritten(new(), lambda content, _: content.pop("reward"))
    assert "the header 'journeyman_episodes' cannot be read" in rewritten(new(), lambda _, header: header.clear())


def test_the_world_is_held_against_it_too(tmp_path: Path) -> None:
    path = datasets.write(batch(), tmp_path / "mine.npz")
    world = SimpleNamespace(name="W-v0", observation_space=Box.unbounded(3), action_space=Box.unbounded(6))
    with pytest.raises(JourneymanError, match=r"'action' has shape \(2,\) a step and the world 'W-v0' takes \(6,\)"):
        datasets.read(path, world=world)


ONE, CHOICE = Box.unbounded(1), Discrete(n=2)


@pytest.mark.parametrize("key", ["observation", "observation.state"])
@pytest.mark.parametrize(
    ("action", "space"),
    [
        (np.arange(6.0) % 2, CHOICE),
        (np.arange(6) % 2 == 1, CHOICE),
        ((np.arange(6) % 2)[:, None], CHOICE),
        (np.arange(6) % 2, CHOICE),
        (np.linspace(0, 1, 6), ONE),
        (np.arange(6), ONE),
        (np.eye(6, 3), Box.unbounded(3)),
    ],
)
def test_what_was_converted_without_its_world_is_read_as_the_original_is(
    tmp_path: Path, key: str, action: np.ndarray, space: AbstractSpace
) -> None:
    """The first reading does not know the world, and cannot tell a choice from a real number."""
    content = {key: np.eye(6, 2), "action": action, "target_action": action[::-1], "episode_end": [3, 6]}
    np.savez(tmp_path / "original.npz", **content)
    world = SimpleNamespace(name="W-v0", observation_space=Box.unbounded(2), action_space=space)
    original = datasets.read(tmp_path / "original.npz", world=world)
    for name in ("own.npz", "own.csv"):
        datasets.write(datasets.read(tmp_path / "original.npz").episodes, tmp_path / name, lossy=True)
        own = datasets.read(tmp_path / name, world=world)
        for one, other in zip(own.episodes.unpack(), original.episodes.unpack(), strict=True):
            assert one.fingerprint() == other.fingerprint()
            assert one.action.shape[1:] == one.target.shape[1:] == space.shape


def test_a_target_that_the_world_does_not_take_is_refused(tmp_path: Path) -> None:
    one = Episodes.episode(np.eye(6, 2, dtype=np.float32), np.zeros(5, np.int32), target=np.full(5, 2, np.int32))
    datasets.write(one, tmp_path / "mine.npz")
    world = SimpleNamespace(name="W-v0", observation_space=Box.unbounded(2), action_space=CHOICE)
    with pytest.raises(JourneymanError, match=r"'target_action' is 2 at row 0 and the world 'W-v0' takes the"):
        datasets.read(tmp_path / "mine.npz", world=world)
