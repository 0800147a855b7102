"""Grad-CAM against its closed form, the layout of features, and what the pictures show."""

import matplotlib
import numpy as np
import pytest
import torch

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from dferlib import EMOTIONS, InputError, attention_maps, create_model, feature_maps, list_models
from dferlib.book import plots
from dferlib.evidence.explain import embed_in_plane, grad_cam
from dferlib.models.staner import REGIONS


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def clip_of(model, seed=0):
    spec = model.input_spec
    return torch.randn(spec.frames, 3, spec.size, spec.size, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def test_grad_cam_of_a_linear_head_is_its_weights_times_the_maps():
    """For a mean and a linear head the gradient is the head's row, the same at every place: CAM in closed form."""
    model = create_model("frame_average", frames=4).eval()
    clip = clip_of(model)
    maps = model.feature_maps(clip[None])[0]  # (F, C, h, w)
    with torch.enable_grad():
        heat, label = grad_cam(model, clip, label=3)
    expected = torch.einsum("c,tchw->thw", model.head[1].weight[3], maps).clamp(min=0)
    expected = torch.nn.functional.interpolate(expected[:, None], (56, 56), mode="bilinear")[:, 0]
    assert label == 3
    np.testing.assert_allclose(heat, (expected / expected.max()).numpy(), atol=1e-5)


def fields(model):
    """Everything about a model that looking at it must not change."""
    parameters = [(p.requires_grad, None if p.grad is None else p.grad.tolist(), p.dtype) for p in model.parameters()]
    return [module.training for module in model.modules()], parameters


@pytest.mark.parametrize("name", list_models())
def test_every_model_shows_its_heat_in_every_precision_and_stays_as_it_was(name):
    torch.manual_seed(0)
    model = create_model(name).train()
    model.backbone.eval().requires_grad_(False)  # frozen
    for parameter in model.head.parameters():
        parameter.grad = torch.ones_like(parameter)
    before, clip = fields(model), clip_of(model)
    heat, label = grad_cam(model, clip)
    assert heat.shape == (8, clip.shape[-1], clip.shape[-1]) and heat.dtype == np.float32
    assert heat.min() >= 0 and heat.max() == 1
    assert fields(model) == before
    for bad in (7, -1):
        with pytest.raises(InputError, match=f"no class {bad}: this model has the classes 0 to 6"):
            grad_cam(model, clip, bad)
    with pytest.raises(InputError, match="this model takes"):
        grad_cam(model, clip[:3])
    assert fields(model) == before
    with torch.inference_mode():
        np.testing.assert_array_equal(grad_cam(model, clip, label)[0], heat)
    for precision in (torch.bfloat16, torch.float16):
        coarse, _ = grad_cam(model.to(precision), clip, label)
        assert coarse.dtype == np.float32
        assert np.corrcoef(coarse.ravel(), heat.ravel())[0, 1] > 0.95


def test_numbers_that_are_none_are_told():
    model = create_model("frame_average")
    with torch.no_grad():
        model.head[1].weight[2, 3] = float("nan")
    with pytest.raises(InputError, match=r"gives nan or infinity in torch\.float32"):
        grad_cam(model, clip_of(model))


@pytest.mark.parametrize("label", [7, -1, 1.7, "fear"])
def test_a_class_that_is_not_there_is_told(label):
    model = create_model("frame_average")
    with pytest.raises(InputError, match=f"there is no class {label!r}: this model has the classes 0 to 6"):
        grad_cam(model, clip_of(model), label)


class Volume(torch.nn.Module):
    """A model as the package grad-cam wants it, with the time behind the channels."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, volume):
        return self.model(volume.transpose(1, 2))


@pytest.mark.parametrize("name", ["c3d", "p3d", "i3d", "r3d18", "r2plus1d18", "inflated_resnet"])
def test_a_volume_has_the_heat_that_the_package_grad_cam_finds(name):
    package = pytest.importorskip("pytorch_grad_cam", reason="grad-cam is not installed")
    torch.manual_seed(1)
    model = create_model(name, frames=8 if name in ("c3d", "inflated_resnet") else 32).eval()
    clip = clip_of(model)
    heat, label = grad_cam(model, clip)
    with package.GradCAM(Volume(model), [model.backbone]) as cam:
        logits = cam.activations_and_grads(clip[None].transpose(1, 2))
        logits[0, label].backward()
        kept = cam.activations_and_grads
        maps = cam.get_cam_image(clip, None, [], kept.activations[0].numpy(), kept.gradients[0].numpy())[0]
    assert label == int(logits.argmax())
    assert len(maps) < len(clip) or name == "inflated_resnet"
    expected = resized(np.maximum(maps, 0), heat.shape)
    np.testing.assert_allclose(heat, expected / expected.max(), atol=1e-4)


def resized(values, shape):
    """Linear between the middles of the cells, and constant beyond the outermost, one axis after another."""
    for axis, (old, new) in enumerate(zip(values.shape, shape, strict=True)):
        at = (np.arange(new) + 0.5) * old / new - 0.5
        values = np.apply_along_axis(lambda row, at=at: np.interp(at, np.arange(len(row)), row), axis, values)
    return values


def test_a_frame_that_is_not_looked_at_has_no_heat():
    torch.manual_seed(0)
    for name, peak in (("single_frame", 4), ("sgaer", 7)):
        model = create_model(name, **({"peak": "last"} if name == "sgaer" else {}))
        heat, _ = grad_cam(model, clip_of(model))
        assert [frame.any() for frame in heat] == [k == peak for k in range(8)]
    model = create_model("sgaer")  # finds the peak itself
    clip = torch.zeros(8, 3, 56, 56)
    clip[2, :, 20:40] = torch.randn(3, 20, 56)
    assert [frame.any() for frame in grad_cam(model, clip)[0]] == [k == 2 for k in range(8)]


@pytest.mark.parametrize("name", ["tler", "staner"])
def test_heat_of_regions_lies_on_the_regions(name):
    torch.manual_seed(0)
    model = create_model(name, **({"peak": "last"} if name == "staner" else {}))
    spots = {part: np.zeros((56, 56), bool) for part in REGIONS}
    for part, (top, bottom, left, right) in REGIONS.items():
        spots[part][round(56 * top) : round(56 * bottom), round(56 * left) : round(56 * right)] = True
    clip = clip_of(model)
    heat = sum(grad_cam(model, clip, label)[0] for label in range(7))
    anywhere = np.logical_or.reduce(list(spots.values()))
    assert heat[:7][:, anywhere].max() > 0 and not heat[:7][:, ~anywhere].any()
    branch = model.branch if name == "tler" else model.temporal
    with torch.no_grad():  # the eyes and the nose have no say any more
        width = branch.end.weight.shape[1] // 3
        branch.end.weight[:, : 2 * width] = 0
    heat = sum(grad_cam(model, clip, label)[0] for label in range(7))
    assert heat[:7][:, spots["mouth"]].max() > 0 and not heat[:7][:, ~spots["mouth"]].any()
    if name == "staner":
        assert heat[7][~anywhere].any(), "the peak is looked at as a whole"


def test_grad_cam_explains_the_predicted_class_on_one_scale_and_leaves_no_trace():
    model = create_model("stt").train()
    clip = clip_of(model)
    heat, label = grad_cam(model, clip)
    assert heat.shape == (8, 56, 56)
    assert heat.min() >= 0
    assert heat.max() <= 1
    assert model.training
    assert all(p.grad is None or not p.grad.any() for p in model.parameters())
    model.eval()
    assert label == int(model(clip[None]).argmax())
    peaks = heat.max((1, 2))
    assert len(np.unique(peaks.round(3))) > 1, "each frame was stretched by itself"


@pytest.mark.parametrize("look", [attention_maps, feature_maps])
def test_looking_into_a_model_wakes_no_frozen_part_of_it(look):
    model = create_model("stt").train()
    model.backbone.eval()
    before = fields(model)
    look(model, clip_of(model)[None])
    assert fields(model) == before


def test_a_frame_without_evidence_stays_dark():
    model = create_model("frame_average", frames=3).eval()
    clip = clip_of(model)
    with torch.no_grad():
        # a head that speaks for class 0 only where the first channel of the maps is on
        model.head[1].weight.zero_()
        model.head[1].weight[0, 0] = 1.0
    model.backbone.register_forward_hook(lambda module, inputs, maps: maps * torch.tensor([0.0, 1, 0]).view(3, 1, 1, 1))
    heat, _ = grad_cam(model, clip, label=0)
    assert not heat[0].any()
    assert not heat[2].any()
    assert heat[1].max() > 0.5


@pytest.mark.slow
def test_features_keep_their_neighbours():
    rng = np.random.default_rng(0)
    groups = np.repeat([0, 1, 2], 20)
    features = rng.normal(0, 0.1, (60, 16)) + np.eye(16)[groups] * 5
    points = embed_in_plane(features, seed=1)
    assert points.shape == (60, 2)
    distance = np.linalg.norm(points[:, None] - points[None], axis=-1) + np.eye(60) * 1e9
    assert (groups[distance.argmin(1)] == groups).all()
    np.testing.assert_array_equal(points, embed_in_plane(features, seed=1))
    with pytest.raises(InputError, match="at least 4"):
        embed_in_plane(features[:3])


def test_the_confusion_matrix_shows_percentages_of_rows():
    counts = np.arange(49).reshape(7, 7)
    panel = plots.confusion(counts).axes[0]
    shown = np.array([float(text.get_text()) for text in panel.texts]).reshape(7, 7)
    np.testing.assert_allclose(shown, 100 * counts / counts.sum(1, keepdims=True), atol=0.5)
    assert [tick.get_text() for tick in panel.get_yticklabels()] == list(EMOTIONS)


def test_curves_show_the_history_and_the_chosen_epoch():
    history = [
        {"epoch": k, "train_loss": 1 / k, "train_accuracy": k / 10, "val_uar": k / 20, "val_war": 0.0, "seconds": 1.0}
        for k in (1, 2, 3)
    ]
    left, right = plots.curves(history, best=2).axes
    np.testing.assert_allclose(left.lines[0].get_ydata(), [1, 1 / 2, 1 / 3])
    np.testing.assert_allclose(right.lines[1].get_ydata(), [5, 10, 15])
    assert right.lines[2].get_xdata()[0] == 2


def test_strips_show_every_frame():
    rng = np.random.default_rng(0)
    clips = [rng.integers(0, 256, (5, 3, 8, 8), dtype=np.uint8) for _ in range(2)]
    figure = plots.frame_strip(clips, ["a", "b"], list("12345"))
    shown = [np.asarray(panel.images[0].get_array()) for panel in figure.axes]
    assert len(shown) == 10
    np.testing.assert_array_equal(shown[7], clips[1][2].transpose(1, 2, 0))
    heat = rng.random((5, 8, 8))
    figure = plots.heat_strip(clips[0], heat)
    np.testing.assert_array_equal(np.asarray(figure.axes[6].images[1].get_array()), heat[1])
    assert figure.axes[6].images[1].get_clim() == (0, 1)


def test_points_and_dots_have_the_colour_and_place_of_their_class():
    labels = np.arange(14) % 7
    panel = plots.scatter(np.random.default_rng(0).random((14, 2)), labels).axes[0]
    colours = {tuple(group.get_facecolor()[0]) for group in panel.collections}
    assert len(colours) == 7
    panel = plots.recalls({"one": np.linspace(0, 1, 7), "two": np.zeros(7)}).axes[0]
    np.testing.assert_allclose(panel.lines[0].get_xdata(), np.linspace(0, 100, 7))
    panel = plots.pairs(["a", "b"], [1, 2], [3, 5], ("here", "there"), "GMAC").axes[0]
    assert [line.get_xdata().tolist() for line in panel.lines] == [[1, 2], [3, 5]]
    panel = plots.attention_reach(3, 4, {"own": np.eye(4)[:3]}, query=(1, 2)).axes[0]
    assert panel.patches[0].get_xy() == (0.5, 1.5)
