"""Every format: what is written comes back bit for bit, or is refused in words; foreign layouts are read too."""

import dataclasses
import gzip
import json
import tempfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from journeyman import corrections, datasets
from journeyman.datasets import _column, _npz
from journeyman.episodes import EXPERT, HUMAN, POLICY, SYNTHETIC, Episodes, concatenate
from journeyman.parts import JourneymanError
from tests.training.full_disk import files_below

h5py = pytest.importorskip("h5py", reason="needs h5py to write HDF5 with")

WHOLE = ("a.npz", "a.h5", "a.hdf5")
FLAT = ("a.csv", "a-v0")

# -- round trips ------------------------------------------------------------------------------------------

LEAVES = st.sampled_from(["vector", "number", "dictionary", "nested", "picture"])


def observation(form: str, random: np.random.Generator, rows: int) -> object:
    plain = random.normal(size=(rows, 3)).astype(np.float32)
    plain[0, 0], plain[-1, 1], plain[-1, 2] = -0.0, np.float32(1e-45), np.finfo(np.float32).max
    forms = {
        "vector": plain,
        "number": plain[:, 0],
        "dictionary": {"agent": plain, "turn": plain[:, 1]},
        "nested": {"agent": plain, "goal": {"place": plain[:, :1]}},
        "picture": {"camera": random.integers(0, 256, (rows, 4, 5, 3), np.uint8), "pose": plain},
    }
    return forms[form]


def episode(form: str, choices: bool, seed: int, length: int) -> Episodes:
    random = np.random.default_rng(seed)
    seen = observation(form, random, length + 1)
    action = random.integers(0, 4, length).astype(np.int32) if choices else random.normal(size=(length, 2))
    action = action if choices else action.astype(np.float32)
    own = seed % 2
    return Episodes.episode(
        seen,
        action,
        random.normal(size=length),
        terminated=bool(random.integers(2)),
        target=action + action if own else action,
        log_prob=random.normal(size=length) if own else None,
        source=[POLICY, EXPERT, HUMAN, SYNTHETIC][seed % 4],
    )


def same(left: Episodes, right: Episodes) -> bool:
    """Whether the episodes, one by one, are equal in structure, type and every bit."""
    one, other = list(left.unpack()), list(right.unpack())
    return len(one) == len(other) and all(a.fingerprint() == b.fingerprint() for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("name", [*WHOLE, *FLAT])
@given(
    form=LEAVES,
    choices=st.booleans(),
    seed=st.integers(0, 99),
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=4),
)
@settings(max_examples=12, deadline=None, derandomize=True)
def test_what_is_written_comes_back(name: str, form: str, choices: bool, seed: int, lengths: list[int]) -> None:
    demos = concatenate([episode(form, choices, seed, length) for length in lengths])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        if name.endswith(".csv") and form == "picture":
            with pytest.raises(JourneymanError, match=r"has shape \(4, 5, 3\) a step, and CSV holds numbers"):
                datasets.write(demos, path)
            assert not list(Path(folder).iterdir())
            return
        data = datasets.read(datasets.write(demos, path))
        assert same(data.episodes, demos)
        if name in WHOLE:
            assert data.fingerprint == demos.fingerprint()
            assert jax.tree.structure(data.episodes) == jax.tree.structure(demos)
        np.testing.assert_allclose(data.returns, demos.episode_returns(), rtol=1e-5, atol=1e-6)


def unfinished() -> Episodes:
    """The middle of an episode: it begins at step 3 and stops without an end."""
    return episode("vector", False, 0, 9).cut(3, 7)


@pytest.mark.parametrize("compress", [True, False])
@pytest.mark.parametrize("name", WHOLE)
def test_the_own_file_holds_whatever_there_is(tmp_path: Path, name: str, compress: bool) -> None:
    whole = concatenate([episode("vector", False, 1, 9), episode("vector", False, 2, 5)])
    thinned = corrections.thin(whole, episodes=2, steps_per_episode=3, seed=0)
    several = jax.tree.map(lambda leaf: leaf[None].repeat(2, 0), whole)  # two batch axes
    for number, demos in enumerate((unfinished(), thinned, several)):
        path = datasets.write(demos, tmp_path / f"{number}{name}", compress=compress)
        assert datasets.read(path).fingerprint == demos.fingerprint()


@pytest.mark.parametrize("name", FLAT)
def test_what_a_flat_format_cannot_hold_is_refused_or_left_out_when_told(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with pytest.raises(JourneymanError, match=r"Unfinished: 1 episode, which would come back from .* as cut"):
        datasets.write(unfinished(), path)
    cut = datasets.read(datasets.write(unfinished(), path, lossy=True)).episodes
    np.testing.assert_array_equal(cut.elapsed, [[3, 4, 5, 6]])
    np.testing.assert_array_equal(cut.truncated, [[False, False, False, True]])
    np.testing.assert_array_equal(cut.observation[0], unfinished().observation)
    thinned = corrections.thin(concatenate([episode("vector", False, 1, 9)]), steps_per_episode=3, seed=0)
    with pytest.raises(JourneymanError, match="Steps are missing in between in 1 episode,"):
        datasets.write(thinned, tmp_path / f"b{name}", lossy=True)
    double = jax.tree.map(lambda leaf: leaf.astype(np.float64), episode("vector", False, 0, 3).observation)
    wide = Episodes.episode(double, np.zeros((3, 1), np.float32))
    with pytest.raises(JourneymanError, match=r"'observation' is float64 and would be read from .* as float32"):
        datasets.write(wide, tmp_path / f"c{name}")
    numbered = Episodes.episode({"arm_1": np.zeros(4, np.float32)}, np.zeros((3, 1), np.float32))
    with pytest.raises(JourneymanError, match="'arm_1' would not come back as that name"):
        datasets.write(numbered, tmp_path / f"d{name}")


@pytest.mark.parametrize("name", ["a.csv", "a-v0"])
@pytest.mark.parametrize("key", ["a ", " a", "a\rb", "a\0b", "a.b", "a,b", "", "a_1"])
def test_a_key_that_would_come_back_as_another_is_refused(tmp_path: Path, name: str, key: str) -> None:
    demos = Episodes.episode({key: np.ones(4, np.float32), "z z": np.ones((4, 1), np.float32)}, np.ones((3, 1)))
    with pytest.raises(JourneymanError, match="would not come back as that name"):
        datasets.write(demos, tmp_path / name, lossy=True)
    assert not (tmp_path / name).exists()


def test_a_real_action_that_is_always_whole_would_be_a_choice_in_csv(tmp_path: Path) -> None:
    demos = Episodes.episode(np.zeros((4, 2), np.float32), np.arange(3, dtype=np.float32))
    with pytest.raises(JourneymanError, match="always whole, so from CSV it is a choice"):
        datasets.write(demos, tmp_path / "a.csv")
    assert same(datasets.read(datasets.write(demos, tmp_path / "a-v0")).episodes, demos)


@pytest.mark.parametrize("name", [*WHOLE, *FLAT])
def test_rewards_that_nobody_recorded_stay_unknown(tmp_path: Path, name: str) -> None:
    shown = Episodes.episode(np.ones((4, 1), np.float32), np.full((3, 1), 0.5, np.float32))
    for reward, known in ((0.0, False), (1.0, True)):
        paid = dataclasses.replace(shown, reward=np.full(3, reward, np.float32))
        path = datasets.write(paid, tmp_path / name, overwrite=True)
        assert (datasets.read(path).returns is not None) == known


@pytest.mark.parametrize("name", [*WHOLE, *FLAT])
def test_files_appear_whole_and_nothing_is_overwritten(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = episode("vector", False, 0, 3), episode("vector", False, 0, 5)
    path = datasets.write(first, tmp_path / name)
    with pytest.raises(JourneymanError, match="exists already; choose another path, or allow it to be replaced"):
        datasets.write(second, path)

    def fail(*_: object, **__: object) -> None:
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        for target in (np, "savez_compressed"), (h5py.File, "__setitem__"), (datasets._write, "write_csv"):
            patch.setattr(*target, fail)
        patch.setattr(h5py.Group, "__setitem__", fail)
        with pytest.raises(OSError, match="disk full"):
            datasets.write(second, path, overwrite=True)
    assert same(datasets.read(path).episodes, first)
    assert [item.name for item in tmp_path.iterdir()] == [name]
    datasets.write(second, path, overwrite=True)
    assert same(datasets.read(path).episodes, second)


@pytest.mark.parametrize("name", [*WHOLE, *FLAT])
def test_a_full_disk_names_the_file_and_leaves_nothing(tmp_path: Path, name: str) -> None:
    with files_below(1000), pytest.raises(OSError, match=f"File too large: .*{name}"):
        datasets.write(episode("vector", False, 0, 500), tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", [*WHOLE, *FLAT])
def test_what_is_written_to_a_link_stands_where_it_leads(tmp_path: Path, name: str) -> None:
    (tmp_path / "far").mkdir()
    first, second = episode("vector", False, 0, 3), episode("vector", False, 0, 5)
    (tmp_path / name).symlink_to(datasets.write(first, tmp_path / "far" / name))
    datasets.write(second, tmp_path / name, overwrite=True)
    assert same(datasets.read(tmp_path / "far" / name).episodes, second)
    assert (tmp_path / name).is_symlink()
    assert [item.name for folder in (tmp_path, tmp_path / "far") for item in folder.iterdir()].count(name) == 2
    assert len(list(tmp_path.iterdir())) == 2, "nothing is left behind"


def test_a_folder_that_is_no_data_set_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "mine-v0").mkdir()
    (tmp_path / "mine-v0" / "thesis.txt").write_text("precious")
    with pytest.raises(JourneymanError, match="is a folder and no Minari data set, so it is kept"):
        datasets.write(episode("vector", False, 0, 3), tmp_path / "mine-v0", overwrite=True)
    with pytest.raises(JourneymanError, match="asks for a format that is not written here"):
        datasets.write(episode("vector", False, 0, 3), tmp_path / "mine.parquet")


# -- mapping ----------------------------------------------------------------------------------------------


def is_mapped(array: object) -> bool:
    while isinstance(array, np.ndarray):
        if isinstance(array, np.memmap):
            return True
        array = array.base
    return False


@pytest.mark.parametrize("name", WHOLE)
def test_large_arrays_are_views_of_the_file(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    demos = concatenate([episode("dictionary", False, 0, 9)])
    flat = datasets.write(demos, tmp_path / name, compress=False)
    packed = datasets.write(demos, tmp_path / f"packed-{name}")
    assert not is_mapped(datasets.read(flat).episodes.action), "small ones are read"
    for module in (_column, datasets._npz, datasets._hdf5):
        monkeypatch.setattr(module, "MAPPED", 1)
    data = datasets.read(flat)
    assert data.fingerprint == demos.fingerprint()
    assert all(is_mapped(leaf) for leaf in jax.tree.leaves((data.episodes.observation, data.episodes.action)))
    assert not is_mapped(datasets.read(packed).episodes.action), "what is compressed cannot be"
    content = flat.read_bytes()
    at = content.find(demos.action.tobytes())
    flat.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    with pytest.raises(JourneymanError, match=r"the array 'action' is damaged|was changed after it was written"):
        datasets.read(flat)


def test_a_column_is_the_same_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of every column in any pieces are those of the whole, forwards and backwards."""
    monkeypatch.setattr(_column, "PIECE", 40)
    demos = concatenate([episode("nested", False, 1, length) for length in (3, 1, 7)])
    names = [datasets.write(demos, tmp_path / name) for name in ("a.csv", "a-v0", "a.npz", "a.h5")]
    names.append(datasets.write(demos, tmp_path / "b.npz", compress=False))
    for path in names:
        with datasets._table.open_table(path) as table:
            for column in table.arrays.values():
                whole = column.whole()
                joined = np.concatenate([piece for _, piece in _column.pieces(column)])
                np.testing.assert_array_equal(joined, whole)
                for start in range(len(whole), -1, -1):
                    np.testing.assert_array_equal(column.rows(start, start + 2), whole[start : start + 2])


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_array_in_fortran_order_is_unpacked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, save) -> None:
    array, times = np.asfortranarray(np.random.default_rng(0).normal(size=(40, 3, 2))), []
    save(tmp_path / "a.npz", array=array)
    verify = _npz.Packed._verify
    monkeypatch.setattr(_npz.Packed, "_verify", lambda column: (times.append(1), verify(column)))
    monkeypatch.setattr(_npz.Packed, "_unpack", None)
    with datasets._table.open_table(tmp_path / "a.npz") as table:
        for start in range(40):
            found = table.arrays["array"].rows(start, start + 2)
            assert found.flags.c_contiguous
            np.testing.assert_array_equal(found, array[start : start + 2])
    assert len(times) == 1


def test_one_column_of_a_wide_csv_is_read_without_the_others(tmp_path: Path) -> None:
    path, (rows, width) = tmp_path / "a.csv", (10_000, 60)
    line = ",".join(["0", "1", *["2"] * width]) + "\n"
    path.write_text(",".join(["done", "action", *(f"observation_{i}" for i in range(width))]) + "\n" + line * rows)
    with datasets._table.open_table(path) as table:
        tracemalloc.start()
        whole = table.arrays["done"].whole()
        held = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert whole.shape == (rows,)
    assert held < 8 * rows * (width + 2) * 0.9


# -- foreign layouts --------------------------------------------------------------------------------------

LENGTHS = [4, 2, 11]
ENDS = np.cumsum(LENGTHS)
STEPS = int(ENDS[-1])


def flat_arrays() -> dict[str, np.ndarray]:
    """D4RL's layout: one array each, `terminals` beside `timeouts`."""
    row = np.arange(STEPS, dtype=np.float32)
    ended = np.isin(np.arange(STEPS), ENDS - 1)
    first = np.arange(STEPS) < 4
    return {
        "observations": np.stack([row, -row], 1),
        "next_observations": np.stack([row + 1, -row - 1], 1),
        "actions": row[:, None] * 10,
        "rewards": row,
        "terminals": ended & first,
        "timeouts": ended & ~first,
    }


def check_flat(data: datasets.Dataset) -> None:
    parts = list(data.episodes.unpack())
    assert [part.num_steps for part in parts] == LENGTHS
    assert [bool(part.terminated[-1]) for part in parts] == [True, False, False]
    np.testing.assert_array_equal(parts[1].observation[:, 0], [4, 5, 6])
    np.testing.assert_array_equal(parts[2].action[:, 0], 10 * np.arange(6, 17))
    np.testing.assert_array_equal(data.returns, [6, 9, sum(range(6, 17))])


def test_d4rl(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "d4rl.hdf5", "w") as file:
        for name, array in flat_arrays().items():
            file[name] = array
        file["infos/qpos"] = np.zeros((STEPS, 3))
        file["metadata/algorithm"] = "SAC"
    data = datasets.read(tmp_path / "d4rl.hdf5")
    check_flat(data)
    assert any("'terminals' is taken for 'terminated'" in note for note in data.notes)
    assert any("Not read: 'infos/qpos', 'metadata/algorithm'" in note for note in data.notes)


def test_npz_and_hdf5_and_csv_of_the_same_arrays_are_the_same_data(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **flat_arrays())
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name, array in flat_arrays().items():
            file[name] = array
    lines = ["obs[0];obs[1];next_obs_1;next_obs_2;act_0;rew;terminals;timeouts;who"]
    for row in range(STEPS):
        ended = "True" if row + 1 in ENDS else "false"
        first = row < 4
        flags = f"{ended if first else 0};{0 if first else ended}"
        lines.append(f"{row};{-float(row)};{row + 1};{-float(row + 1)};{10 * row}.0;{row};{flags};Ann")
    (tmp_path / "a.csv").write_text("\ufeff" + "\r\n".join(lines), encoding="utf-8")
    read = [datasets.read(tmp_path / name) for name in ("a.npz", "a.h5", "a.csv")]
    for data in read:
        check_flat(data)
    assert len({data.fingerprint for data in read}) == 1
    assert any("Not read: 'who'" in note for note in read[2].notes)


def robomimic(path: Path, *, following: bool = True) -> Path:
    """Episodes out of order by name, simulator states beside the observations, `dones` that do not say which end."""
    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        data.attrs["env_args"] = json.dumps({"env_name": "Lift"})
        for index, length in ((10, 11), (2, 2), (1, 4)):
            demo = data.create_group(f"demo_{index}")
            row = np.arange(length + 1, dtype=np.float32)[:, None]
            demo["obs/eef"], demo["obs/object/pose"] = row[:-1], np.concatenate([row, row], 1)[:-1]
            if following:
                demo["next_obs/eef"], demo["next_obs/object/pose"] = row[1:], np.concatenate([row, row], 1)[1:]
            demo["states"], demo["actions"] = np.zeros((length, 30)), np.full((length, 1), index, np.float32)
            demo["rewards"], demo["dones"] = np.zeros(length), np.arange(length) == length - 1
        file["mask/train"] = np.array([b"demo_1"])
    return path


def test_robomimic(tmp_path: Path) -> None:
    data = datasets.read(robomimic(tmp_path / "low_dim.hdf5"))
    parts = list(data.episodes.unpack())
    assert [part.num_steps for part in parts] == LENGTHS
    assert [part.action[0, 0] for part in parts] == [1, 2, 10]
    assert parts[2].observation["object"]["pose"].shape == (12, 2)
    assert not any(part.terminated.any() for part in parts), "dones is not terminated"
    assert any("'dones' does not say whether the world ended" in note for note in data.notes)
    assert any("Not read: 'states'" in note for note in data.notes)
    short = datasets.read(robomimic(tmp_path / "raw.hdf5", following=False))
    assert [part.num_steps for part in short.episodes.unpack()] == [3, 1, 10]


def test_episodes_that_are_not_built_alike(tmp_path: Path) -> None:
    path = robomimic(tmp_path / "bent.hdf5")
    with h5py.File(path, "a") as file:
        del file["data/demo_2/rewards"]
        del file["data/demo_10/actions"]
        file["data/demo_10/actions"] = np.zeros((11, 5))
    with pytest.raises(JourneymanError) as error:
        datasets.read(path)
    assert "'demo_2' and 'demo_1' are not built alike: 'rewards' stand in one of them only" in str(error.value)
    assert "'demo_10/actions' has shape (11, 5) and 'demo_1/actions' (4, 1)" in str(error.value)


def demos(path: Path, **lengths: tuple[int, int, int]) -> Path:
    """Of each episode the numbers of actions, observations and rewards."""
    with h5py.File(path, "w") as file:
        for name, (actions, observations, rewards) in lengths.items():
            group = file.create_group(f"data/{name}")
            group["actions"], group["rewards"] = np.zeros((actions, 1)), np.zeros(rewards)
            group["obs"] = np.arange(observations)[:, None] * np.ones(2)
    return path


@pytest.mark.parametrize("work", [datasets.read, datasets.lint])
def test_rows_that_would_slide_from_one_episode_into_the_next_are_refused(tmp_path: Path, work: Callable) -> None:
    """Their totals are right: 10 actions, 12 observations, 10 rewards."""
    path = demos(tmp_path / "a.h5", demo_0=(5, 7, 6), demo_1=(5, 5, 4))
    with pytest.raises(JourneymanError) as error:
        work(path)
    assert "'obs' of 'demo_0' has 7 rows where 5 actions need 5" in str(error.value)
    assert "'rewards' of 'demo_1' has 4 rows where 5 actions need 5" in str(error.value)
    assert "'obs' of 'demo_1'" not in str(error.value)
    one_more = demos(tmp_path / "b.h5", demo_0=(5, 6, 5), demo_1=(3, 4, 3), demo_2=(4, 4, 4))
    with pytest.raises(JourneymanError, match=r"'obs' of 'demo_2' has 4 rows where 4 actions need 5"):
        work(one_more)


def test_groups_that_are_no_episodes_by_name_are_told_of_and_numbers_are_not_taken_twice(tmp_path: Path) -> None:
    path = demos(tmp_path / "a.h5", demo_0=(5, 6, 5), demo_1_b=(5, 6, 5), demo_2=(3, 4, 3))
    data = datasets.read(path)
    assert data.episodes.num_steps == 8
    assert "Not read: 'demo_1_b', for episodes are called as 'demo_0' is." in data.notes
    with pytest.raises(JourneymanError, match=r"'demo_02' and 'demo_2' have the same number|'demo_2' and 'demo_02'"):
        datasets.read(demos(path, demo_2=(5, 6, 5), demo_02=(3, 4, 3)))


def test_datasets_that_nobody_reads_may_be_anything(tmp_path: Path) -> None:
    path = demos(tmp_path / "a.h5", demo_0=(5, 6, 5), demo_1=(3, 4, 3))
    with h5py.File(path, "a") as file:
        file["data/demo_1/infos/late"] = np.zeros(3)
        file["data/demo_0/note"], file["data/demo_1/note"] = np.array([b"a"]), np.zeros((2, 2))
    data = datasets.read(path)
    assert "Not read: 'note', 'infos/late'." in data.notes
    with h5py.File(path, "w") as file:
        file["observations"], file["actions"], file["episode_end"] = np.zeros((4, 1)), np.zeros((3, 1)), [3]
        file["comment"], file["kind"] = h5py.Empty("f4"), np.dtype("f4")
    assert datasets.read(path).episodes.num_steps == 3


def test_an_unknown_layout_is_told_in_a_few_words(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        for index in range(300):
            file[f"traj_{index}/actions"] = np.zeros((5, 1))
    with pytest.raises(JourneymanError, match=r"'traj_0/actions', .* and 280 more") as error:
        datasets.read(path)
    assert len(str(error.value)) < 2500


def test_an_array_for_an_episode_and_an_episode_without_steps(tmp_path: Path) -> None:
    path = robomimic(tmp_path / "empty.hdf5")
    with h5py.File(path, "a") as file:
        for name in ("actions", "rewards"):
            width = file[f"data/demo_2/{name}"].shape[1:]
            del file[f"data/demo_2/{name}"]
            file[f"data/demo_2/{name}"] = np.zeros((0, *width))
    path_of_array = tmp_path / "array.hdf5"
    with h5py.File(path_of_array, "w") as file:
        file["data/demo_0"] = np.zeros((4, 1))
    for work in (datasets.read, datasets.lint):
        with pytest.raises(
            JourneymanError, match=r"'demo_2' has no steps \('actions' has shape \(0, 1\)\); leave it out"
        ):
            work(path)
        with pytest.raises(
            JourneymanError, match=r"'demo_0' is an array of shape \(4, 1\), where an episode is a group"
        ):
            work(path_of_array)


# -- Minari -----------------------------------------------------------------------------------------------


@pytest.fixture
def minari(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "root"))
    return pytest.importorskip("minari", reason="needs Minari")


def test_minari_reads_what_is_written(tmp_path: Path, minari) -> None:
    for choices in (False, True):
        demos = concatenate([episode("nested", choices, 1, length) for length in (3, 12, 1)])
        path = datasets.write(demos, tmp_path / f"own-v{int(choices)}")
        theirs = minari.MinariDataset(str(path / "data"))
        assert (theirs.total_episodes, theirs.total_steps) == (3, 16)
        for read, ours in zip(theirs.iterate_episodes(), demos.unpack(), strict=True):
            np.testing.assert_array_equal(read.observations["goal"]["place"], ours.observation["goal"]["place"])
            np.testing.assert_array_equal(read.actions, ours.action)
            np.testing.assert_array_equal(read.rewards, ours.reward)
            np.testing.assert_array_equal(read.terminations, ours.terminated)
            np.testing.assert_array_equal(read.infos["target_action"][:-1], ours.target)
            assert theirs.observation_space["agent"].contains(read.observations["agent"][0])


def test_a_folder_of_minari_without_an_episode_that_it_promises_is_refused(tmp_path: Path) -> None:
    path = datasets.write(
        concatenate([episode("vector", False, 1, length) for length in (3, 12, 2)]), tmp_path / "a-v0"
    )
    with h5py.File(path / "data" / "main_data.hdf5", "a") as file:
        del file["episode_1"]
    with pytest.raises(JourneymanError) as error:
        datasets.read(path)
    assert "'metadata.json' promises 3 episodes and 2 are there; finish the download" in str(error.value)
    assert "'metadata.json' promises 17 steps and 5 are there" in str(error.value)


def made_by_minari(minari, kind: str, *, pictures: bool = False) -> str:
    import gymnasium

    random = np.random.default_rng(0)
    buffers, seen = [], gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float32)
    if pictures:
        seen = gymnasium.spaces.Box(0, 255, (32, 32, 3), np.uint8)
    for length in LENGTHS:
        row = np.arange(length + 1, dtype=np.float32)
        observation = np.full((length + 1, 32, 32, 3), 7, np.uint8) if pictures else np.stack([row, -row], 1)
        last = np.arange(length) == length - 1
        parts = {"observations": observation, "actions": random.normal(size=(length, 1)).astype(np.float32)}
        flags = {"terminations": last & (length == 2), "truncations": last & (length != 2)}
        buffers.append(minari.data_collector.EpisodeBuffer(None, None, None, **parts, rewards=row[:-1], **flags))
    minari.create_dataset_from_buffers(
        "made/by-v3",
        buffers,
        observation_space=seen,
        action_space=gymnasium.spaces.Box(-9, 9, (1,), np.float32),
        data_format=kind,
    )
    return "made/by-v3"


@pytest.mark.parametrize(("kind", "pictures"), [("hdf5", False), ("hdf5", True), ("arrow", False)])
@pytest.mark.filterwarnings("ignore::UserWarning:minari", "ignore::DeprecationWarning")
def test_what_minari_wrote_is_read(tmp_path: Path, minari, kind: str, pictures: bool) -> None:
    name = made_by_minari(minari, kind, pictures=pictures)
    data = datasets.read(name)  # by id, from its folder; no network is asked
    parts = list(data.episodes.unpack())
    assert [part.num_steps for part in parts] == LENGTHS
    assert [bool(part.terminated[-1]) for part in parts] == [False, True, False]
    np.testing.assert_array_equal(data.returns, [6, 1, 55])
    if pictures:
        assert parts[0].observation.shape == (5, 32, 32, 3)
        assert parts[0].observation.dtype == np.uint8
    else:
        np.testing.assert_array_equal(parts[1].observation, [[0, 0], [1, -1], [2, -2]])
    for path in (tmp_path / "root" / name, tmp_path / "root" / name / "data"):
        assert datasets.read(path).fingerprint == data.fingerprint


def test_an_id_is_downloaded_through_minari_or_refused_with_what_it_said(
    tmp_path: Path, minari, monkeypatch: pytest.MonkeyPatch
) -> None:
    demos = episode("vector", False, 0, 4)

    def download(name: str) -> None:
        (tmp_path / "root" / name).parent.mkdir(parents=True)
        datasets.write(demos, tmp_path / "root" / name)

    monkeypatch.setattr(minari, "download_dataset", download)
    data = datasets.read("D4RL/door/human-v2")
    assert same(data.episodes, demos)
    assert any("Minari downloaded 'D4RL/door/human-v2'" in note for note in data.notes)
    assert data.path == datasets.locate(Path("D4RL/door/human-v2")) == tmp_path / "root" / "D4RL/door/human-v2"
    assert datasets.locate(tmp_path / "a.npz") == tmp_path / "a.npz"

    def offline(name: str) -> None:
        raise ConnectionError("Name or service not known.\nmore")

    monkeypatch.setattr(minari, "download_dataset", offline)
    with pytest.raises(JourneymanError, match=r"Minari could not download one \(Name or service not known\)"):
        datasets.read("D4RL/pen/human-v2")


# -- what cannot be read ----------------------------------------------------------------------------------


def said(path: Path) -> str:
    with pytest.raises(JourneymanError) as error:
        datasets.read(path)
    return str(error.value)


def test_the_content_decides_before_the_name_does(tmp_path: Path) -> None:
    good = datasets.write(episode("vector", False, 0, 4), tmp_path / "a.h5")
    other = good.rename(tmp_path / "a.npz")
    notes = datasets.read(other).notes
    assert any("'a.npz' is HDF5 by its content and was read as that" in note for note in notes)


@pytest.mark.parametrize("suffix", [".tsv", ".TXT"])
def test_a_table_by_another_name_is_read(tmp_path: Path, suffix: str) -> None:
    path = datasets.write(episode("vector", False, 0, 4), tmp_path / "a.csv")
    other = tmp_path / f"a{suffix}"
    other.write_text(path.read_text().replace(",", "\t"))
    assert same(datasets.read(other).episodes, datasets.read(path).episodes)


@pytest.mark.parametrize("name", ["out.hdf", "out.tsv", "out.mat", "out.npz.gz", "out.v2", "out.pkl"])
def test_a_suffix_that_is_not_known_is_not_written_under(tmp_path: Path, name: str) -> None:
    with pytest.raises(JourneymanError, match=r"not written here; end the name in \.npz, \.h5, \.hdf5, \.csv, in -v0"):
        datasets.write(episode("vector", False, 0, 4), tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a.csv.gz", "a.npz.gz"])
def test_a_file_that_was_compressed_is_to_be_unpacked_first(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(gzip.compress(b"observation_0,action_0\n"))
    with pytest.raises(JourneymanError, match=r"is compressed by gzip; unpack it first"):
        datasets.read(tmp_path / name)


def test_files_cut_short(tmp_path: Path) -> None:
    path = datasets.write(concatenate([episode("vector", False, 0, 400)]), tmp_path / "a.h5")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert "is not an HDF5 file, or only the beginning of one" in said(path)
    path.write_bytes(b"")
    assert "is not an HDF5 file, or only the beginning of one (0 bytes)" in said(path)
    csv = datasets.write(episode("vector", False, 0, 4), tmp_path / "a.csv")
    text = csv.read_text()
    csv.write_text(text[:-40])
    assert "line 5 has" in said(csv)
    assert "the file was cut short" in said(csv)
    folder = datasets.write(episode("vector", False, 0, 4), tmp_path / "a-v0")
    (folder / "data" / "main_data.hdf5").unlink()
    assert "lacks 'main_data.hdf5'" in said(folder)
    (folder / "data" / "metadata.json").write_text("{")
    assert "is not JSON" in said(folder)


@pytest.mark.parametrize("name", [*WHOLE, *FLAT])
def test_bytes_that_were_damaged_are_refused_or_change_nothing(tmp_path: Path, name: str) -> None:
    """Cut anywhere, or with bits turned: a sentence or the right data, for `read`; a sentence or a page, for `lint`."""
    random = np.random.default_rng(0)
    demos = concatenate([episode("dictionary", False, 1, length) for length in (30, 9)])
    path = datasets.write(demos, tmp_path / name)
    target = path / "data" / "main_data.hdf5" if path.is_dir() else path
    good, refusals = target.read_bytes(), 0
    for trial in range(30):
        bad = bytearray(good)
        if trial % 3 == 0:
            bad = bad[: random.integers(len(bad))]
        else:
            bad[random.integers(min(len(bad), 2000 if trial % 3 == 1 else len(bad)))] ^= 1 << random.integers(8)
        target.write_bytes(bytes(bad))
        for work in (datasets.read, datasets.lint):
            try:
                found = work(path)
            except JourneymanError:
                refusals += 1
            else:
                assert name in FLAT or work is datasets.lint or same(found.episodes, demos)
    assert refusals >= 20


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty; its first line names the columns"),
        ("observation_0,action_0,action_0\n1,2,3\n", "the column 'action_0' stands there twice"),
        (
            "0.1,-2,1e3,4\n1,2,3,4\n",
            "the first line holds numbers (0.1, -2, 1e3, …) and no names; put",
        ),
        ("observation_0,observation_2,action_0,episode\n1,2,3,0\n", "'observation_1' is missing among its numbered"),
        ("observation_0,action_0,episode\n1,,0\n2,3,0\n", "'action_0' is empty at line 2"),
        ("observation_0,action_0,episode\n1,2,0\n2,left,0\n", "'action_0' is 'left', which is not a number at line 3"),
        ("observation_0,action_0,episode\n1,nan,0\n2,3,0\n", "'action' is nan at episode 0, step 0 (row 0), column 0"),
        ("observation_0,action_0,episode\n1,2\n", "line 2 has 2 cells and the first line names 3"),
        ("observation_0,action_0\n1,2\n", "Nothing says where episodes end"),
        ("observation_0,torque,episode\n1,2,0\n", "There is no 'action'. The file holds"),
        ("observation_0,action_0,episode\n", "The file holds no steps"),
        (
            "observation_0,action_0,episode\n1,2,0.5\n",
            "it is one whole number for each of the 1 steps",
        ),
    ],
)
def test_csv_refusals(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    assert words in said(tmp_path / "a.csv")


def test_csv_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"observation_0,action_0\n\xff\xfe\x00\x01")
    assert "is no text in UTF-8" in said(tmp_path / "a.csv")


def test_extra_columns_that_cannot_be_meant(tmp_path: Path) -> None:
    def given(**more: np.ndarray) -> Path:
        np.savez(tmp_path / "a.npz", **{**flat_arrays(), **more})
        return tmp_path / "a.npz"

    assert "'target_action' has shape (17, 2) and 'action' (17, 1)" in said(given(target_action=np.zeros((17, 2))))
    assert "'elapsed' is 9 at episode 0, step 1 (row 1) where 10 should follow" in said(given(elapsed=np.full(17, 9)))
    late = said(given(elapsed=np.concatenate([np.arange(length) - 1 for length in LENGTHS])))
    assert "'elapsed' is -1 at episode 0, step 0 (row 0); it counts the steps of each episode from 0 on" in late
    assert "'log_prob' has dtype float64 and shape (3,)" in said(given(log_prob=np.zeros(3)))
    data = datasets.read(given(source=np.full(17, 7)))
    assert any("Not read: 'source', whose values are not 0 to 3" in note for note in data.notes)
    assert (np.asarray(data.episodes.source) == EXPERT).all()


def test_without_the_extra_the_error_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = datasets.write(episode("vector", False, 0, 4), tmp_path / "a.h5")
    require: Callable = datasets._hdf5.require

    def missing(module: str, *, extra: str) -> object:
        return require(f"{module}_not_there", extra=extra)

    monkeypatch.setattr(datasets._hdf5, "require", missing)
    assert 'pip install "journeyman[hdf5]"' in said(path)
