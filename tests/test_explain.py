"""Grad-CAM against its closed form, the layout of features, and what the pictures show."""

import matplotlib
import numpy as np
import pytest
import torch

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from dferlib import EMOTIONS, InputError, create_model
from dferlib.book import plots
from dferlib.evidence.explain import embed_in_plane, grad_cam


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
    expected = torch.nn.functional.interpolate((expected / expected.max())[:, None], (56, 56), mode="bilinear")[:, 0]
    assert label == 3
    np.testing.assert_allclose(heat, expected.numpy(), atol=1e-5)


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
