"""Batches: the right clips, the right augmentation, the next one in time, and maps that are computed once."""

import threading
import time

import numpy as np
import pytest
import torch

from dferlib import InputError, create_model
from dferlib.data.table import ArraySource
from dferlib.data.transforms import Augment, normalise, prepare
from dferlib.training.clips import Clips, load_into_memory, middle_frames, prefetch
from dferlib.training.config import TrainConfig
from dferlib.training.evaluation import evaluate
from dferlib.training.kept_maps import SOURCES, VIEWS, KeptMaps
from dferlib.training.loader import Loader
from dferlib.training.loop import train

CPU, GPU = torch.device("cpu"), torch.device("cuda")  # the latter only as a word: nothing here goes there


def quick(**changes):
    return TrainConfig(**{"epochs": 2, "batch_size": 8, "lr": 1e-2, "device": "cpu", **changes})


class OnDisk:
    """A source that is not in memory, and counts how often it is read."""

    def __init__(self, source):
        self.table, self.classes, self.fingerprint = source.table, source.classes, source.fingerprint
        self.clips, self.reads = source.clips, 0

    def __len__(self):
        return len(self.table)

    def read(self, index, frames):
        self.reads += 1
        return self.clips[index][frames]


def test_the_next_is_made_while_this_one_is_used():
    made, used = [threading.Event() for _ in range(4)], []

    def make(number):
        made[number].set()
        return number

    for number in prefetch(make, range(1, 4), GPU):
        used.append(number)
        if number < 3:
            assert made[number + 1].wait(5), "the next one is only made once it is asked for"
    assert used == [1, 2, 3]
    assert list(prefetch(make, range(2, 2), GPU)) == []


def test_a_cpu_that_computes_makes_each_when_it_is_asked_for():
    """In its own thread: one beside those of the step would keep them waiting."""
    made = []

    def make(number):
        made.append((number, threading.current_thread()))
        return number

    for number in prefetch(make, range(1, 4), CPU):
        assert made[-1] == (number, threading.main_thread())
    assert [number for number, _ in made] == [1, 2, 3]


@pytest.mark.parametrize("device", [CPU, GPU], ids=str)
def test_what_goes_wrong_in_making_comes_out_here(device):
    def make(number):
        if number == 2:
            raise InputError("clip 2 is broken")
        return number

    seen = []
    with pytest.raises(InputError, match="clip 2"):
        for number in prefetch(make, range(5), device):
            seen.append(number)
    assert seen == [0, 1]
    before = threading.active_count()
    for number in prefetch(lambda k: time.sleep(0.01) or k, range(9), device):
        if number == 3:
            break
    time.sleep(0.1)
    assert threading.active_count() <= before, "a loop that is left must not leave a thread behind"


@pytest.mark.parametrize("on_device", [False, True])
def test_clips_on_the_device_are_those_of_the_source(tiny_source, on_device):
    source = OnDisk(tiny_source(9))
    clips = Clips(source, CPU, on_device=on_device)
    indices, frames = np.array([8, 0, 3, 8]), np.array([[0, 1], [5, 5], [2, 0], [3, 4]])
    found = clips.take(indices, frames)
    reads = source.reads
    assert found.dtype == torch.uint8 and found.shape == (4, 2, 3, 16, 16)
    for index, wanted, clip in zip(indices, frames, found, strict=True):
        assert np.array_equal(clip, source.clips[index][wanted])
    clips.take(indices, frames)
    assert (source.reads == reads) == on_device


@pytest.mark.parametrize("on_device", [False, True])
def test_frames_of_several_sizes_are_named(tiny_source, on_device):
    source = tiny_source(4)
    clips = [clip if k != 2 else clip[..., :12] for k, clip in enumerate(source.clips)]
    mixed = OnDisk(ArraySource(source.table, clips))
    with pytest.raises(InputError, match=r"frames of clip 'train-0-2' are of another size"):
        Clips(mixed, CPU, on_device=on_device).take(np.arange(4), np.zeros((4, 2), dtype=int))


def test_a_small_source_is_read_once_and_a_large_one_stays(tiny_source, monkeypatch):
    source = OnDisk(tiny_source(9))
    kept = load_into_memory(source)
    assert isinstance(kept, ArraySource) and kept.fingerprint == source.fingerprint
    assert all(np.array_equal(a, b) for a, b in zip(kept.clips, source.clips, strict=True))
    assert load_into_memory(kept) is kept
    monkeypatch.setattr("dferlib.training.clips.MEMORY_BYTES", 1000)
    assert load_into_memory(source) is source


def test_every_clip_comes_once_an_epoch_with_its_label(tiny_model, tiny_source):
    source = tiny_source(22)
    loader = Loader(source, tiny_model(), config=quick(), device=CPU)
    assert loader.per_epoch == 3
    for epoch in (1, 2):
        batches = list(loader.epoch(epoch))
        assert [len(batch.labels) for batch in batches] == [8, 8, 6]
        assert all(batch.weight == 1 and batch.inputs.shape[1:] == (4, 3, 14, 14) for batch in batches)
        order = loader.order(epoch)
        assert torch.cat([batch.labels for batch in batches]).tolist() == source.table.labels[order].tolist()
        later = list(loader.epoch(epoch, first=2))
        assert torch.equal(later[0].inputs, batches[2].inputs) and len(later) == 1


def test_processes_share_a_batch_as_one_would_have_it(tiny_model, tiny_source, monkeypatch):
    source, config = tiny_source(21), quick(erase=0.5, saturation=0.2)
    whole = list(Loader(source, tiny_model(), config=config, device=CPU).epoch(1))
    for count in (2, 3):
        parts = []
        for rank in range(count):
            monkeypatch.setattr(
                "dferlib.training.loader.rank_and_world_size", lambda rank=rank, count=count: (rank, count)
            )
            parts.append(list(Loader(source, tiny_model(), config=config, device=CPU).epoch(1)))
        for batch, *shares in zip(whole, *parts, strict=True):
            torch.testing.assert_close(torch.cat([share.inputs for share in shares]), batch.inputs)
            assert torch.equal(torch.cat([share.labels for share in shares]), batch.labels)
            assert sum(share.weight for share in shares) == pytest.approx(count)
            weighed = sum(share.weight * share.labels.float().mean() for share in shares) / count
            assert weighed == pytest.approx(float(batch.labels.float().mean()))
    monkeypatch.setattr("dferlib.training.loader.rank_and_world_size", lambda: (0, 22))
    with pytest.raises(InputError, match="22 processes for 21 clips"):
        Loader(source, tiny_model(), config=config, device=CPU)


def test_a_last_batch_too_small_to_share_goes_with_the_one_before(tiny_model, tiny_source, monkeypatch):
    monkeypatch.setattr("dferlib.training.loader.rank_and_world_size", lambda: (1, 2))
    loader = Loader(tiny_source(17), tiny_model(), config=quick(), device=CPU)
    assert [len(batch.labels) for batch in loader.epoch(1)] == [4, 4] and loader.per_epoch == 2


def test_a_frozen_backbone_looks_at_each_view_once_and_rows_and_seeds_share_its_maps(tiny_model, tiny_source):
    source, val = OnDisk(tiny_source(16)), OnDisk(tiny_source(14, "val"))
    passes = []

    def watched(model):
        model.backbone.register_forward_hook(lambda module, inputs, output: passes.append(len(output)))
        return model

    model = watched(tiny_model())
    history = train(model, source, val, quick(backbone_lr_scale=0, epochs=9), progress=False)
    assert sum(passes) == 4 * (14 + VIEWS * 16)  # four frames a clip
    assert history.best.val_uar == evaluate(model, val, device="cpu").metrics()["uar"]  # as from the pixels
    passes.clear()
    train(watched(tiny_model()), source, val, quick(backbone_lr_scale=0, seed=5, lr=1e-3), progress=False)
    assert passes == []
    train(watched(tiny_model(seed=1)), source, val, quick(backbone_lr_scale=0), progress=False)
    assert sum(passes) == 4 * (14 + VIEWS * 16), "another backbone has other maps"
    passes.clear()
    train(watched(tiny_model(seed=1)), source, val, quick(backbone_lr_scale=0, erase=1.0), progress=False)
    assert sum(passes) >= 4 * VIEWS * 16, "other augmentation has other maps"


def test_the_maps_of_few_sources_are_kept_at_once_and_none_of_a_source_that_is_gone(tiny_source):
    kept, sources, made = KeptMaps(), [tiny_source(3) for _ in range(SOURCES + 1)], []

    def of(source):
        return kept.get(source, name="maps", make=lambda view: iter([made.append(view) or torch.zeros(3, 2)]), views=2)

    for source in (*sources, *sources[1:]):
        assert [part.shape for part in of(source)] == [(3, 2)] * 2
    assert len(made) == 2 * (SOURCES + 1)
    of(sources[0])
    assert len(made) == 2 * (SOURCES + 2), "the oldest had to go"
    del source, sources
    assert len(kept._kept) == 0


def test_kept_maps_are_those_of_augmented_clips(tiny_model, tiny_source, monkeypatch):
    """Train with the maps, and by hand from the pixels of the same views."""
    source = tiny_source(8)
    kept, seen = tiny_model(), []
    real = type(kept).features_from_maps
    monkeypatch.setattr(
        type(kept), "features_from_maps", lambda self, maps: seen.append(maps.detach().clone()) or real(self, maps)
    )
    train(kept, source, source, quick(backbone_lr_scale=0, epochs=1), progress=False)
    fresh = tiny_model().eval()
    loader = Loader(source, fresh, config=quick(), device=CPU)
    with torch.no_grad():
        views = [fresh.feature_maps(loader.augmented(np.arange(8), (view, 0))) for view in range(VIEWS)]
        plain = fresh.feature_maps(
            prepare(Clips(source, CPU).take(np.arange(8), middle_frames(source, fresh.input_spec, 1)), fresh.input_spec)
        )
    order = loader.order(1)
    for clip, found in zip(order, seen[0], strict=True):
        assert any(torch.allclose(found, view[clip], atol=1e-5) for view in views)
    torch.testing.assert_close(seen[1], plain)  # what the validation saw


def test_maps_that_take_too_much_room_are_not_kept(tiny_model, tiny_source, monkeypatch):
    source, found = tiny_source(16), []
    for limit in (100, 2**30):
        monkeypatch.setattr("dferlib.training.kept_maps.MAPS_BYTES", limit)
        model, passes = tiny_model(), []
        model.backbone.register_forward_hook(lambda *args, passes=passes: passes.append(1))
        train(model, source, tiny_source(14, "val"), quick(backbone_lr_scale=0, epochs=3), progress=False)
        found.append(len(passes))
        assert not any(module.training for module in model.backbone.modules()) or model.training
    assert found[0] >= 3 * (2 + 1) and found[0] > found[1] - VIEWS


@pytest.mark.parametrize("name", ["single_frame", "staner"])
def test_models_that_choose_frames_themselves_train_on_kept_maps_too(name, tiny_source):
    torch.manual_seed(0)
    model = create_model(name, weights=None)
    clips = tiny_source(8, frames=8, side=64)
    before = {key: value.clone() for key, value in model.backbone.state_dict().items()}
    train(model, clips, clips, quick(backbone_lr_scale=0, epochs=1), progress=False)
    assert all(torch.equal(before[key], value) for key, value in model.backbone.state_dict().items())


def test_a_batch_is_the_random_frames_augmented_by_what_its_key_draws(tiny_model, tiny_source):
    source = tiny_source(5, frames=30)
    loader = Loader(source, tiny_model(), config=quick(per_segment=2), device=CPU)
    one, other = (loader.augmented(np.arange(5), key) for key in ((0, 1, 2), (0, 1, 3)))
    assert torch.equal(one, loader.augmented(np.arange(5), (0, 1, 2))) and not torch.equal(one, other)
    chance = np.random.default_rng((0, 1, 2))
    from dferlib.data.sampling import segment_indices

    frames = np.stack([segment_indices(count, 2, 2, chance) for count in source.table.frames])
    generator = torch.Generator().manual_seed(int(chance.integers(2**62)))
    pixels = Augment(14, generator=generator)(Clips(source, CPU).take(np.arange(5), frames))
    torch.testing.assert_close(one, normalise(pixels, (0.5,) * 3, (0.25,) * 3))
