"""The data type: what it refuses, what never changes anything, and that streams and episodes agree."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from journeyman.episodes import EXPERT, SYNTHETIC, Episodes, concatenate
from journeyman.parts import JourneymanError

settings.register_profile("journeyman", deadline=None, max_examples=15)
settings.load_profile("journeyman")


def one(time: int, seed: int = 0, *, discrete: bool = False, nested: bool = False, ended: bool = True) -> Episodes:
    """One episode of `time` steps with random content."""
    random = np.random.default_rng(seed)
    plain = random.normal(size=(time + 1, 3)).astype(np.float32)
    observation = {"agent": plain, "goal": {"place": plain[:, :2] + 1}} if nested else plain
    action = random.integers(0, 4, time).astype(np.int32) if discrete else random.normal(size=(time, 2))
    action = action if discrete else action.astype(np.float32)
    reward = random.normal(size=time).astype(np.float32)
    terminated = ended and bool(random.integers(2))
    return Episodes.episode(observation, action, reward, terminated=terminated, truncated=ended and not terminated)


def chain(parts: list[Episodes]) -> Episodes:
    """All `parts` in one stream, with a reset step after each end."""
    pieces = [part.pad(len(part.valid) + 1) for part in parts[:-1]] + [parts[-1]]
    # The padding of each part is its reset step: its last observation is dropped, since the next part follows it.
    glue = [jax.tree.map(lambda leaf: leaf[:-1], p.observation) for p in pieces[:-1]] + [pieces[-1].observation]
    joined = jax.tree.map(lambda *leaves: np.concatenate(leaves), *pieces)
    return dataclasses.replace(joined, observation=jax.tree.map(lambda *leaves: np.concatenate(leaves), *glue))


def broken(change: dict, time: int = 5) -> str:
    with pytest.raises(JourneymanError) as refused:
        dataclasses.replace(one(time), **change)
    return str(refused.value)


lengths = st.lists(st.sampled_from([1, 2, 5]), min_size=1, max_size=4)  # few shapes, so few compilations


# -- refusals: each invariant names the place and the count -----------------------------------------------


def test_shapes_that_disagree_are_all_named_at_once() -> None:
    message = broken({"reward": np.zeros(4, np.float32), "action": np.zeros((3, 2), np.float32)})
    assert "2 things are wrong" in message
    assert "'reward' has shape (4,) where `valid` has (5,)" in message
    assert "'action' has shape (3, 2) where (5,) must lead" in message


def test_the_observation_has_one_entry_more() -> None:
    message = broken({"observation": {"a": np.zeros((5, 3), np.float32)}})
    assert "'observation['a']' has shape (5, 3) where (6,) must lead" in message
    assert "one more observation than actions" in message


def test_a_scalar_is_no_stream() -> None:
    with pytest.raises(JourneymanError, match="need a time axis"):
        Episodes(**{f.name: np.zeros(()) for f in dataclasses.fields(Episodes)})


def test_flags_are_booleans() -> None:
    assert "'valid' has dtype float32, not bool" in broken({"valid": np.ones(5, np.float32)})


def test_rewards_are_floats() -> None:
    assert "'reward' has dtype int64, not float; convert it with `.astype(float)`" in broken({"reward": np.arange(5)})


def test_an_end_on_an_invalid_step() -> None:
    valid = np.array([True, True, True, True, False])
    assert "An episode ends on an invalid step at step 4 (1 in all)" in broken({"valid": valid})


def test_a_valid_step_after_an_end_needs_a_reset_step() -> None:
    ends = np.array([False, True, False, True, True])
    message = broken({"truncated": ends, "terminated": np.zeros(5, bool)})
    assert "without the reset step between them at step 1 (2 in all)" in message


@pytest.mark.parametrize(
    ("elapsed", "said"),
    [
        ([0, 1, 3, 4, 5], "does not go up by one at step 1 (1 in all)"),
        ([-2, -1, 0, 1, 2], "is negative at step 0 (2 in all)"),
    ],
)
def test_elapsed_counts(elapsed: list[int], said: str) -> None:
    assert said in broken({"elapsed": np.array(elapsed, np.int32)})


@pytest.mark.parametrize("field", ["observation", "action", "target", "reward"])
def test_values_must_be_finite_where_valid(field: str) -> None:
    content = np.array(getattr(one(5), field))
    content[3] = np.nan
    message = broken({field: content})
    assert f"he {field} is not finite at step 3 (1 in all)" in message


def test_the_last_successor_must_be_finite_too() -> None:
    observation = np.array(one(5).observation)
    observation[5] = np.inf
    assert "The successor is not finite at step 4 (1 in all)" in broken({"observation": observation})


def test_invalid_steps_may_hold_anything() -> None:
    stream = one(5, ended=False).pad(7)
    observation = np.array(stream.observation)
    observation[6:] = np.nan
    dataclasses.replace(stream, observation=observation)


def test_the_stream_is_named_in_a_batch() -> None:
    batch = concatenate([one(3), one(4)])
    reward = np.array(batch.reward)
    reward[1, 2] = np.nan
    with pytest.raises(JourneymanError, match=r"stream \(1,\), step 2"):
        dataclasses.replace(batch, reward=reward)


def test_inside_jit_shapes_are_still_checked() -> None:
    @jax.jit
    def shorter(episodes: Episodes) -> jax.Array:
        return dataclasses.replace(episodes, reward=jnp.zeros(2)).reward

    with pytest.raises(JourneymanError, match=r"'reward' has shape \(2,\)"):
        shorter(jax.tree.map(jnp.asarray, one(5)))


def test_an_empty_episode_and_an_empty_list() -> None:
    with pytest.raises(JourneymanError, match="at least one step"):
        Episodes.episode(np.zeros((1, 3)), np.zeros((0, 2)))
    with pytest.raises(JourneymanError, match="nothing to concatenate"):
        concatenate([])


def test_data_of_two_worlds_does_not_concatenate() -> None:
    with pytest.raises(JourneymanError, match="Streams 0 and 1 do not fit together"):
        concatenate([one(3), one(3, discrete=True)])
    with pytest.raises(JourneymanError, match="Streams 0 and 1 do not fit together"):
        concatenate([one(3), one(3, nested=True)])


def test_padding_cannot_shorten_and_cutting_stays_inside() -> None:
    with pytest.raises(JourneymanError, match="Cannot pad to 2 steps: the streams are 3 long"):
        one(3).pad(2)
    with pytest.raises(JourneymanError, match="Cannot cut steps 2 to 9 out of streams of 3"):
        one(3).cut(2, 9)


@pytest.mark.parametrize("convert", [np.asarray, jnp.asarray])
def test_take_names_a_stream_that_is_not_there(convert) -> None:
    batch = jax.tree.map(convert, concatenate([one(3), one(4)]))
    with pytest.raises(JourneymanError, match="no stream 2: there are 2, numbered 0 to 1"):
        batch.take([0, 2])
    with pytest.raises(JourneymanError, match="no stream 5"):
        batch.take(5)
    with pytest.raises(JourneymanError, match="no batch axis"):
        one(3).take([0])
    assert batch.take([1, 0]).num_steps == 7
    assert batch.take(slice(1)).batch_shape == (1,)


# -- what never changes anything --------------------------------------------------------------------------


@given(lengths, st.sampled_from([0, 1, 4]), st.booleans(), st.booleans(), st.floats(0, 1))
def test_padding_changes_no_return(times: list[int], more: int, discrete: bool, nested: bool, discount: float) -> None:
    batch = concatenate([one(t, i, discrete=discrete, nested=nested) for i, t in enumerate(times)])
    padded = batch.pad(batch.valid.shape[-1] + more)
    assert padded.num_steps == batch.num_steps == sum(times)
    np.testing.assert_array_equal(padded.episode_returns(discount), batch.episode_returns(discount))
    longer = np.asarray(padded.discounted_returns(discount))
    np.testing.assert_array_equal(longer[:, : batch.valid.shape[-1]], batch.discounted_returns(discount))
    assert not longer[:, batch.valid.shape[-1] :].any()


@given(lengths, st.booleans(), st.booleans())
def test_concatenate_and_unpack_are_inverse(times: list[int], discrete: bool, nested: bool) -> None:
    parts = [one(t, i, discrete=discrete, nested=nested, ended=i % 2 == 0) for i, t in enumerate(times)]
    for back, part in zip(concatenate(parts).unpack(), parts, strict=True):
        assert back.fingerprint() == part.fingerprint()


@given(lengths, st.booleans(), st.booleans(), st.floats(0, 1))
def test_a_stream_and_its_episodes_give_the_same_returns(
    times: list[int], discrete: bool, nested: bool, discount: float
) -> None:
    parts = [one(t, i, discrete=discrete, nested=nested) for i, t in enumerate(times)]
    stream = chain(parts)
    assert stream.batch_shape == ()
    apart = list(stream.unpack())
    assert [p.fingerprint() for p in apart] == [p.fingerprint() for p in parts]
    expected = np.concatenate([p.discounted_returns(discount) for p in parts])
    together = np.asarray(stream.discounted_returns(discount))[stream.valid]
    np.testing.assert_allclose(together, expected, rtol=1e-6, atol=1e-6)  # a scan of other length rounds alike
    np.testing.assert_allclose(
        stream.episode_returns(discount), concatenate(apart).episode_returns(discount), rtol=1e-6, atol=1e-6
    )


@given(lengths, st.randoms(use_true_random=False), st.floats(0, 1))
def test_the_order_of_episodes_changes_no_return(times: list[int], random, discount: float) -> None:
    parts = [one(t, i) for i, t in enumerate(times)]
    order = random.sample(range(len(parts)), len(parts))
    straight, shuffled = concatenate(parts), concatenate([parts[i] for i in order])
    np.testing.assert_array_equal(shuffled.episode_returns(discount), straight.episode_returns(discount)[order])
    np.testing.assert_array_equal(straight.take(order).episode_returns(discount), shuffled.episode_returns(discount))
    in_streams = chain([parts[i] for i in order]).episode_returns(discount)
    np.testing.assert_allclose(in_streams, shuffled.episode_returns(discount), rtol=1e-6, atol=1e-6)


@given(st.integers(1, 9), st.floats(0, 1))
def test_discounted_returns_against_the_double_sum(time: int, discount: float) -> None:
    episode = one(time)
    reward = np.asarray(episode.reward, np.float64)
    slow = [sum(discount ** (k - t) * reward[k] for k in range(t, time)) for t in range(time)]
    np.testing.assert_allclose(episode.discounted_returns(discount), slow, rtol=1e-5, atol=1e-5)


def test_returns_by_hand() -> None:
    # rewards 1 2 | reset | 4 8: with γ = 1/2 the first episode is worth 1 + 1 = 2, the second 4 + 4 = 8
    first = Episodes.episode(np.zeros((3, 1)), np.zeros((2, 1)), [1.0, 2.0], terminated=True)
    second = Episodes.episode(np.zeros((3, 1)), np.zeros((2, 1)), [4.0, 8.0])
    stream = chain([first, second])
    np.testing.assert_array_equal(stream.valid, [True, True, False, True, True])
    np.testing.assert_array_equal(stream.discounted_returns(0.5), [2.0, 2.0, 0.0, 8.0, 8.0])
    np.testing.assert_array_equal(stream.episode_returns(0.5), [2.0, 8.0])
    assert bool(first.terminated[-1])
    assert not first.truncated.any()
    assert bool(second.truncated[-1])


def test_only_episodes_that_began_and_ended_inside_have_a_return() -> None:
    unfinished, whole = one(3, ended=False), one(4)
    assert len(concatenate([unfinished, whole]).episode_returns()) == 1
    assert len(whole.cut(1, 4).episode_returns()) == 0
    # a cut-off beginning followed, after a gap, by a whole episode must not borrow that episode's end
    assert len(chain([unfinished, whole]).episode_returns()) == 1


def test_an_episode_with_gaps_stays_one_episode() -> None:
    episode = one(7)
    valid = np.array([True, False, False, True, True, False, True])
    gaps = dataclasses.replace(episode, valid=valid)
    (back,) = concatenate([gaps]).unpack()
    assert back.fingerprint() == gaps.fingerprint()


def test_nothing_valid_unpacks_to_nothing() -> None:
    stream = one(3)
    nothing = np.zeros(3, bool)
    assert list(dataclasses.replace(stream, valid=nothing, truncated=nothing, terminated=nothing).unpack()) == []


def test_more_batch_axes_keep_their_order() -> None:
    batch = concatenate([one(3, i) for i in range(6)])
    grid = jax.tree.map(lambda leaf: leaf.reshape(2, 3, *leaf.shape[1:]), batch)
    assert grid.batch_shape == (2, 3)
    assert [p.fingerprint() for p in grid.unpack()] == [p.fingerprint() for p in batch.unpack()]
    np.testing.assert_array_equal(grid.episode_returns(), batch.episode_returns())
    assert concatenate([grid]).fingerprint() == batch.fingerprint()


def test_now_and_next_are_the_step_and_its_successor() -> None:
    stream = concatenate([one(3, nested=True)])
    for whole, now, after in zip(*map(jax.tree.leaves, (stream.observation, stream.now, stream.next)), strict=True):
        np.testing.assert_array_equal(whole[:, :-1], now)
        np.testing.assert_array_equal(whole[:, 1:], after)


def test_the_fingerprint_sees_every_field() -> None:
    episode = one(4, nested=True)
    seen = {episode.fingerprint()}
    for change in (
        {"source": np.full(4, SYNTHETIC, np.int8)},
        {"target": episode.target + 1},
        {"observation": jax.tree.map(lambda leaf: leaf + 1, episode.observation)},
        {"elapsed": episode.elapsed + 1},
        {"valid": np.array([False, True, True, True])},
    ):
        seen.add(dataclasses.replace(episode, **change).fingerprint())
    assert len(seen) == 6
    assert (np.asarray(episode.source) == EXPERT).all()


def test_distinct_starts_are_counted_over_whole_observations_and_only_where_an_episode_begins() -> None:
    """Two episodes begin alike, up to the sign of a zero, one differs in one leaf, one is joined in its middle."""
    start = lambda a, b: {"place": np.asarray([[a], [7.0], [8.0]]), "kind": np.asarray([b, 0, 0])}  # noqa: E731
    parts = [Episodes.episode(start(a, b), np.zeros((2, 1))) for a, b in ((0.0, 1), (-0.0, 1), (0.0, 2), (5.0, 1))]
    parts[3] = parts[3].cut(1, 2)
    assert concatenate(parts).distinct_starts() == 2
    assert parts[3].distinct_starts() == 0
