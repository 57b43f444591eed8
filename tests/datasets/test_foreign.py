"""LeRobot's and `imitation`'s folders, as they wrote them, and older forms (`fixtures/foreign.py`); faults in them."""

import importlib.util
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from journeyman import datasets
from journeyman.algorithms import bc
from journeyman.parts import JourneymanError
from journeyman.policies import policy
from journeyman.training import fit
from journeyman.worlds import LinearQuadratic

arrow = pytest.importorskip("pyarrow", reason="needs pyarrow to read Arrow and Parquet")
parquet = importlib.import_module("pyarrow.parquet")

FIXTURES = Path(__file__).parent / "fixtures"


def _script() -> Any:
    spec = importlib.util.spec_from_file_location("foreign", FIXTURES / "foreign.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


EPISODES = _script().EPISODES


@pytest.mark.parametrize("name", ["imitation", "imitation.npz"])
def test_trajectories_of_imitation_are_whole_with_their_last_observation(name: str) -> None:
    data = datasets.read(FIXTURES / name)
    assert len(list(data.episodes.unpack())) == len(EPISODES)
    for found, one in zip(data.episodes.unpack(), EPISODES, strict=True):
        assert np.array_equal(found.observation, one["observation"])
        assert np.array_equal(found.action, one["action"])
        assert np.array_equal(found.reward, one["reward"])
        assert found.truncated[-1], "imitation's 'terminal' may be a time limit"
    assert any("'terminal' does not say whether the world ended" in note for note in data.notes)
    assert "Not read: 'infos'." in data.notes


@pytest.mark.parametrize("name", ["lerobot", "lerobot-2"])
def test_frames_of_lerobot_lack_the_last_observation_and_pictures_are_told_of(name: str) -> None:
    data = datasets.read(FIXTURES / name)
    for found, one in zip(data.episodes.unpack(), EPISODES, strict=True):
        assert np.array_equal(found.observation["state"], one["observation"][:-1])
        assert np.array_equal(found.action, one["action"][:-1])
        assert np.array_equal(found.reward, one["reward"][:-1])
        assert found.truncated[-1]
    assert "Not read, for they are pictures or words: 'observation.images.top'." in data.notes
    assert any("3 of 14 steps, the last of each episode, are left out" in note for note in data.notes)
    assert "'next.reward' is taken for 'reward'." in data.notes


@pytest.mark.parametrize("name", ["imitation", "imitation.npz", "lerobot", "lerobot-2"])
def test_lint_looks_at_the_same_numbers(name: str) -> None:
    found = datasets.lint(FIXTURES / name)
    assert not found.problems
    assert found.format == name.removesuffix(".npz").removesuffix("-2").replace("lerobot", "LeRobot")
    assert found.lengths.tolist() == [len(one["action"]) for one in EPISODES]
    assert found.returns == pytest.approx([one["reward"].sum(dtype=float) for one in EPISODES], rel=1e-6)


@pytest.mark.parametrize("name", ["imitation", "lerobot"])
def test_they_can_be_cloned_from(name: str) -> None:
    world = LinearQuadratic(np.eye(3), np.ones((3, 2)), np.eye(3), np.eye(2), horizon=9)
    data = datasets.read(FIXTURES / name, world=world)
    if name == "lerobot":
        assert "'observation.state' alone is the whole observation." in data.notes
    cloned = fit(bc(epochs=2, batch_size=4), policy(world, jax.random.key(0), hidden=(4,)), data.episodes)
    assert np.isfinite(cloned.rows[-1]["loss"])


def copied(name: str, to: Path) -> Path:
    shutil.copytree(FIXTURES / name, to / name)
    return to / name


def replaced(path: Path, column: str, values: Any) -> None:
    table = parquet.read_table(path)
    at = table.schema.get_field_index(column)
    parquet.write_table(table.set_column(at, column, values), path)


FRAMES = "data/chunk-000/file-000.parquet"

FAULTS: dict[str, tuple[str, Callable[[Path], Any], str]] = {
    "no frames": ("lerobot", lambda path: shutil.rmtree(path / "data"), r"has no frame in 'data/\*/\*\.parquet'"),
    "files without rows": (
        "lerobot",
        lambda path: parquet.write_table(parquet.read_table(path / FRAMES).slice(0, 0), path / FRAMES),
        r"has no frame in 'data/\*/\*\.parquet'",
    ),
    "no features": (
        "lerobot",
        lambda path: (path / "meta/info.json").write_text("{}"),
        r"not LeRobot's list of features",
    ),
    "a file is gone": (
        "lerobot-2",
        lambda path: (path / "data/chunk-000/episode_000001.parquet").unlink(),
        r"'meta/info\.json' promises 14 frames and \d+ are there; finish the download",
    ),
    "an episode is another's": (
        "lerobot",
        lambda path: (
            replaced(path / FRAMES, "episode_index", arrow.array([0] * 11 + [2] * 3)),
            replaced(path / FRAMES, "next.done", arrow.array([False] * 14)),
        ),
        r"'meta/info\.json' promises 3 episodes and 2 are there; finish the download",
    ),
    "pictures alone": (
        "lerobot",
        lambda path: parquet.write_table(
            parquet.read_table(path / FRAMES).drop_columns(["observation.state"]), path / FRAMES
        ),
        r"as pictures or words alone \('observation\.images\.top'\), and of LeRobot's features only numbers are read",
    ),
    "cut short": (
        "lerobot",
        lambda path: (path / FRAMES).write_bytes((path / FRAMES).read_bytes()[:-700]),
        r"file-000\.parquet' is damaged or cut short \(.+\); copy it again",
    ),
    "blank": (
        "lerobot",
        lambda path: replaced(path / FRAMES, "next.reward", arrow.array([None] + [1.0] * 13)),
        r"'next\.reward' has 1 blank entries; repair the recording",
    ),
    "uneven": (
        "lerobot",
        lambda path: replaced(path / FRAMES, "action", arrow.array([[1.0, 2.0]] * 13 + [[1.0]])),
        r"'action' has rows of 1 and of 2 numbers",
    ),
    "another width in another file": (
        "lerobot-2",
        lambda path: replaced(path / "data/chunk-000/episode_000002.parquet", "action", arrow.array([[1.0]] * 3)),
        r"'action' has shape \(2,\) a frame in the first file and \(1,\) in another",
    ),
    "other features in another file": (
        "lerobot-2",
        lambda path: parquet.write_table(
            arrow.table({"action": [1.0]}), path / "data" / "chunk-000" / "episode_000002.parquet"
        ),
        r"a data set has the same features in every file",
    ),
    "an episode comes back": (
        "lerobot",
        lambda path: replaced(path / FRAMES, "episode_index", arrow.array([0] * 4 + [1] * 7 + [0] * 3)),
        r"'episode_index' 0 comes back after another episode",
    ),
    "no list of files": ("imitation", lambda path: (path / "state.json").write_text("[]"), r"does not list its files"),
    "a listed file is gone": (
        "imitation",
        lambda path: (path / "data-00000-of-00001.arrow").unlink(),
        r"lacks 'data-00000-of-00001\.arrow', which its 'state\.json' lists",
    ),
    "half a file": (
        "imitation",
        lambda path: (path / "data-00000-of-00001.arrow").write_bytes(
            (path / "data-00000-of-00001.arrow").read_bytes()[:900]
        ),
        r"data-00000-of-00001\.arrow' is damaged or cut short",
    ),
}


def test_features_that_nobody_reads_may_be_blank_or_uneven(tmp_path: Path) -> None:
    path = copied("lerobot", tmp_path)
    table = parquet.read_table(path / FRAMES)
    table = table.append_column("annotation.score", arrow.array([None] + [1.0] * 13))
    table = table.append_column("boxes", arrow.array([[1.0]] * 13 + [[1.0, 2.0]]))
    parquet.write_table(table, path / FRAMES)
    found = datasets.read(path)
    assert any("'annotation.score', 'boxes'" in note for note in found.notes)
    assert found.episodes.fingerprint() == datasets.read(FIXTURES / "lerobot").episodes.fingerprint()


def test_trajectories_of_other_lengths_are_refused(tmp_path: Path) -> None:
    """Their totals are right: 10 actions and 12 observations."""
    path = copied("imitation", tmp_path)
    rows = [[[float(i)] for i in range(count)] for count in (7, 5, 5)]
    table = arrow.table({"obs": rows[:2], "acts": rows[1:], "terminal": [True, True]})
    file = path / "data-00000-of-00001.arrow"
    with arrow.OSFile(str(file), "wb") as sink, arrow.ipc.new_stream(sink, table.schema) as out:
        out.write_table(table)
    with pytest.raises(JourneymanError, match=r"'obs' of 'trajectory 0' has 7 rows where 5 actions need 5"):
        datasets.read(path)


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_wrong_is_said(fault: str, tmp_path: Path) -> None:
    name, do, said = FAULTS[fault]
    path = copied(name, tmp_path)
    do(path)
    with pytest.raises(JourneymanError, match=said):
        datasets.read(path)


def test_other_tables_of_that_library_are_no_trajectories(tmp_path: Path) -> None:
    path = copied("imitation", tmp_path)
    file = path / "data-00000-of-00001.arrow"
    table = arrow.table({"text": ["a", "b"], "label": [0, 1]})
    with arrow.OSFile(str(file), "wb") as sink, arrow.ipc.new_stream(sink, table.schema) as out:
        out.write_table(table)
    with pytest.raises(JourneymanError, match=r"with 'text', 'label' and no 'obs', 'acts', 'terminal'"):
        datasets.read(path)


def test_a_folder_of_neither_is_told_what_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(JourneymanError, match=r"no data set of Minari .* LeRobot .* or `imitation`"):
        datasets.read(tmp_path)


def test_terminals_of_another_number_are_refused(tmp_path: Path) -> None:
    with np.load(FIXTURES / "imitation.npz") as file:
        arrays = {name: file[name] for name in file.files if name != "infos"}
    np.savez(tmp_path / "a.npz", **{**arrays, "terminal": arrays["terminal"][:2]})
    with pytest.raises(JourneymanError, match=r"'terminal' has shape \(2,\) where 'indices' tell of 3 trajectories"):
        datasets.read(tmp_path / "a.npz")


def test_objects_elsewhere_are_never_unpickled(tmp_path: Path) -> None:
    with np.load(FIXTURES / "imitation.npz") as file:
        arrays = {name: file[name] for name in file.files if name != "infos"}
    np.savez(tmp_path / "a.npz", **arrays, other=np.array([{}, {}]))
    with pytest.raises(JourneymanError, match=r"'other' is an array of Python objects"):
        datasets.read(tmp_path / "a.npz")


# -- where episodes begin ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["episode_start", "episode_starts", "is_first"])
def test_starts_of_episodes_tell_where_they_end(name: str, tmp_path: Path) -> None:
    starts = np.isin(np.arange(9), [0, 4, 6])
    rows = np.arange(9.0)[:, None]
    np.savez(tmp_path / "a.npz", obs=rows, actions=rows, **{name: starts})
    found = datasets.read(tmp_path / "a.npz").episodes
    assert [one.num_steps for one in found.unpack()] == [3, 1, 2]
    assert datasets.lint(tmp_path / "a.npz").lengths.tolist() == [4, 2, 3]


@pytest.mark.parametrize("starts", [[0, 0, 1, 0], [1, 0, 1]], ids=["none at the first step", "one too few"])
def test_starts_that_cannot_be_meant_are_refused(starts: list[int], tmp_path: Path) -> None:
    rows = np.arange(4.0)[:, None]
    np.savez(tmp_path / "a.npz", obs=rows, actions=rows, episode_starts=starts)
    with pytest.raises(JourneymanError, match=r"'episode_start' has \d entries for 4 actions"):
        datasets.read(tmp_path / "a.npz")
