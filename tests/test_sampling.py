from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dferlib import InputError
from dferlib.data.sampling import segment_indices, time_interpolation

counts = st.integers(1, 300)
segments = st.integers(1, 20)
lengths = st.integers(1, 6)


def test_the_published_setting():
    """STT: 8 segments of 2 frames. 144 frames make segments of 18, whose middle pairs start at 8, 26, 44, ..."""
    assert segment_indices(144, 8, 2).tolist() == [8, 9, 26, 27, 44, 45, 62, 63, 80, 81, 98, 99, 116, 117, 134, 135]


@given(n=counts, s=segments, t=lengths)
def test_test_frames_follow_the_rule_in_exact_arithmetic(n, s, t):
    expected = []
    for k in range(s):
        start = (k * Fraction(n, s) + Fraction(n, s) / 2 - Fraction(t, 2)).__floor__()
        start = min(max(start, 0), max(n - t, 0))
        expected += [min(start + j, n - 1) for j in range(t)]
    assert segment_indices(n, s, t).tolist() == sorted(expected)


@given(n=counts, s=segments, t=lengths, seed=st.integers(0, 2**32 - 1))
def test_random_frames_are_real_frames_in_the_order_of_time(n, s, t, seed):
    frames = segment_indices(n, s, t, np.random.default_rng(seed))
    assert frames.shape == (s * t,) and frames.dtype == np.int64
    assert frames.min() >= 0 and frames.max() < n
    assert (np.diff(frames) >= 0).all()


@given(s=segments, t=lengths, extra=st.integers(0, 30), seed=st.integers(0, 2**32 - 1))
def test_random_frames_are_consecutive_and_stay_in_their_segment(s, t, extra, seed):
    n = s * (t + extra)
    frames = segment_indices(n, s, t, np.random.default_rng(seed)).reshape(s, t)
    assert (np.diff(frames, axis=1) == 1).all()
    assert (frames // (n // s) == np.arange(s)[:, None]).all()


def test_random_starts_are_uniform_over_the_segment():
    rng = np.random.default_rng(0)
    starts = np.stack([segment_indices(40, 4, 3, rng).reshape(4, 3)[:, 0] for _ in range(4000)]) % 10
    shares = np.stack([np.bincount(column, minlength=10) / 4000 for column in starts.T])
    assert (shares[:, 8:] == 0).all()  # three frames that start later would leave a segment of ten
    assert np.abs(shares[:, :8] - 1 / 8).max() < 0.025  # five standard errors


def test_every_frame_of_a_short_clip_can_be_seen_in_training():
    rng = np.random.default_rng(0)
    seen = {int(frame) for _ in range(300) for frame in segment_indices(12, 8, 1, rng)}
    assert seen == set(range(12))


@settings(max_examples=20)
@given(s=segments, t=lengths)
def test_a_clip_of_one_frame_repeats_it(s, t):
    assert segment_indices(1, s, t).tolist() == [0] * (s * t)
    assert segment_indices(1, s, t, np.random.default_rng(0)).tolist() == [0] * (s * t)


def test_the_same_seed_draws_the_same_frames():
    one, two = (segment_indices(99, 8, 2, np.random.default_rng(5)) for _ in range(2))
    assert one.tolist() == two.tolist() != segment_indices(99, 8, 2, np.random.default_rng(6)).tolist()


@given(n=counts, count=st.integers(2, 40))
def test_interpolation_takes_the_nearest_frame_to_evenly_spread_times(n, count):
    frames = time_interpolation(n, count)
    times = np.linspace(0, n - 1, count)
    assert np.abs(frames - times).max() <= 0.5 + 1e-9
    assert frames[0] == 0 and frames[-1] == n - 1 and (np.diff(frames) >= 0).all()


@given(n=counts)
def test_interpolation_to_the_same_length_changes_nothing_and_to_one_takes_the_middle(n):
    assert time_interpolation(n, max(n, 2)).tolist() == (list(range(n)) if n > 1 else [0, 0])
    assert time_interpolation(n, 1).tolist() == [(n - 1) // 2]


@pytest.mark.parametrize("bad", [(0, 8, 2), (9, 0, 2), (9, 8, 0)])
def test_impossible_numbers_are_refused(bad):
    with pytest.raises(InputError, match="at least 1"):
        segment_indices(*bad)
    with pytest.raises(InputError, match="at least 1"):
        time_interpolation(min(bad[0], 0), 4)
