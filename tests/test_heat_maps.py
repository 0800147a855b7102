"""Heat maps of every kind against loops, closed forms and the package grad-cam."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from dferlib import InputError, attention_maps, create_model, list_models
from dferlib.evidence.explain import CAMS, grad_cam
from dferlib.evidence.heat_maps import KINDS, blurred, heat_map, kinds_of
from dferlib.evidence.rollout import rollout
from dferlib.models.base import ClipModel, InputSpec

F, SIZE = 4, 32


def clip_of(model: ClipModel, seed: int = 0) -> torch.Tensor:
    spec = model.input_spec
    return torch.randn(spec.frames, 3, spec.size, spec.size, generator=torch.Generator().manual_seed(seed))


class Linear(ClipModel):
    """Each logit is a weighted sum of the pixels."""

    input_spec = InputSpec(SIZE, F, (0.0,) * 3, (1.0,) * 3)

    def __init__(self) -> None:
        torch.nn.Module.__init__(self)
        self.backbone = torch.nn.Identity()
        self.weight = torch.nn.Parameter(torch.randn(3, F, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1)))

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        return torch.einsum("bfchw,kfchw->bk", clips, self.weight)


@pytest.mark.parametrize("kind, package_name", [("Grad-CAM++", "GradCAMPlusPlus"), ("Layer-CAM", "LayerCAM")])
def test_a_frame_is_weighed_as_by_the_package_grad_cam(kind: str, package_name: str) -> None:
    package = pytest.importorskip("pytorch_grad_cam", reason="grad-cam is not installed")
    torch.manual_seed(0)
    model = create_model("stt").eval()
    with torch.no_grad():
        model.head[1].weight *= 1e4  # so that the package's small constant in the denominator does not count
    clip = clip_of(model)
    maps = model.feature_maps(clip[None]).detach().requires_grad_()
    model.forward_from_maps(maps)[0, 3].backward()
    with getattr(package, package_name)(model.backbone, [model.backbone]) as cam:
        slope = maps.grad[0].numpy()
        expected = cam.get_cam_image(clip, None, [], maps.detach()[0].numpy(), slope, False)
    expected = torch.from_numpy(expected).clamp(min=0)[:, None]
    expected = torch.nn.functional.interpolate(expected, clip.shape[-2:], mode="bilinear")[:, 0].numpy()
    heat, _ = grad_cam(model, clip, 3, kind)
    np.testing.assert_allclose(heat, expected / expected.max(), atol=1e-3)


def test_the_kinds_of_cam_differ_where_the_gradient_does() -> None:
    torch.manual_seed(0)
    model = create_model("stt").eval()
    heats = [grad_cam(model, clip_of(model), 3, kind)[0] for kind in CAMS]
    assert all(np.abs(one - other).max() > 0.05 for k, one in enumerate(heats) for other in heats[:k])
    with pytest.raises(InputError, match="kind of map"):
        grad_cam(model, clip_of(model), 3, "Score-CAM")


def test_what_is_blurred_keeps_its_light_and_loses_its_edges() -> None:
    clip = clip_of(Linear())
    sigma = SIZE / 8
    expected = gaussian_filter(clip.numpy(), (0, 0, sigma, sigma), mode="mirror", radius=[0, 0, 8, 8])
    np.testing.assert_allclose(blurred(clip), expected, atol=1e-5)


def test_integrated_gradients_of_a_sum_are_its_terms() -> None:
    pytest.importorskip("captum", reason="captum is not installed")
    model = Linear()
    clip = clip_of(model)
    terms = (model.weight[2].detach() * (clip - blurred(clip))).sum(1).clamp(min=0).numpy()
    heat, label = heat_map(model, clip, 2, "integrated gradients")
    assert label == 2
    np.testing.assert_allclose(heat, terms / terms.max(), atol=1e-4)


def test_occlusion_is_what_the_logit_loses_with_a_square() -> None:
    pytest.importorskip("captum", reason="captum is not installed")
    model = Linear()
    clip = clip_of(model)
    lost = np.zeros((F, SIZE, SIZE))
    for t in range(0, F, 2):
        for top in range(0, SIZE, 8):
            for left in range(0, SIZE, 8):
                where = (slice(t, t + 2), slice(top, top + 8), slice(left, left + 8))
                gone = clip.clone()
                gone[where[0], :, where[1], where[2]] = blurred(clip)[where[0], :, where[1], where[2]]
                lost[where] = (model(clip[None]) - model(gone[None]))[0, 1].item()
    expected = lost.clip(min=0)
    heat, label = heat_map(model, clip, 1, "occlusion")
    assert label == 1
    np.testing.assert_allclose(heat, expected / expected.max(), atol=1e-3)


def test_a_single_frame_is_occluded_too() -> None:
    pytest.importorskip("captum", reason="captum is not installed")
    torch.manual_seed(0)
    model = create_model("frame_average", frames=1, weights=None)
    heat, _ = heat_map(model, clip_of(model), 0, "occlusion")
    assert heat.shape == (1, 56, 56) and heat.max() == 1


def whole(sizes: tuple[int, ...], pairs) -> np.ndarray:
    """A matrix over all tokens, from (query, key, weight)."""
    N = int(np.prod(sizes))
    matrix = np.zeros((N, N))
    for query, key, weight in pairs:
        matrix[np.ravel_multi_index(query, sizes), np.ravel_multi_index(key, sizes)] += weight
    return matrix


def heat_of(places: np.ndarray, model: ClipModel) -> np.ndarray:
    """Places (F, S) as heat on the frames."""
    side = int(places.shape[1] ** 0.5)
    values = torch.from_numpy(places).float().view(1, 1, len(places), side, side)
    size = (len(places), model.input_spec.size, model.input_spec.size)
    return torch.nn.functional.interpolate(values, size, mode="trilinear")[0, 0].numpy()


def test_rollout_of_stt_is_the_product_of_all_its_attention() -> None:
    torch.manual_seed(0)
    model = create_model("stt", frames=3).eval()
    clips = clip_of(model)[None]
    weights = {name: each[0].mean(-3).numpy() for name, each in attention_maps(model, clips).items()}
    T, S = weights["blocks.0.spatial"].shape[:2]
    product = np.eye(T * S)
    for k in range(2):
        spatial, temporal = weights[f"blocks.{k}.spatial"], weights[f"blocks.{k}.temporal"]
        one = whole((T, S), (((t, q), (t, s), spatial[t, q, s]) for t in range(T) for q in range(S) for s in range(S)))
        two = whole((T, S), (((q, s), (t, s), temporal[s, q, t]) for s in range(S) for q in range(T) for t in range(T)))
        for layer in (one, two):
            product = (np.eye(T * S) + layer) / 2 @ product
    expected = product[:S].mean(0).reshape(T, S)[1:]  # from the class tokens to the frames
    np.testing.assert_allclose(rollout(model, clips)[0], heat_of(expected, model), atol=1e-6)


def test_rollout_of_logo_former_is_the_product_of_all_its_attention() -> None:
    torch.manual_seed(0)
    model = create_model("logo_former", frames=4).eval()
    clips = clip_of(model)[None]
    weights = {name: each[0].mean(-3).numpy() for name, each in attention_maps(model, clips).items()}
    side, T = 4, 4
    N = 1 + T * side * side  # the class token first
    token = {(t, y, x): 1 + (t * side + y) * side + x for t in range(T) for y in range(side) for x in range(side)}
    product = np.eye(N)
    for k in range(2):
        near, far = np.eye(N), np.eye(N)
        windows = {}
        for (t, y, x), at in token.items():
            windows.setdefault((t // 2, y // 2, x // 2), []).append(at)  # in the order of a window's cells
        for number, (window, cells) in enumerate(windows.items()):
            near[np.ix_(cells, cells)] += weights[f"blocks.{k}.local_"][window]
            far[:, cells] += weights[f"blocks.{k}.global_"][:, [number]] / len(cells)
        near[1:] /= 2  # the class token takes no part
        product = far / 2 @ near @ product
    expected = product[0, 1:].reshape(T, side * side)
    np.testing.assert_allclose(rollout(model, clips)[0], heat_of(expected, model), atol=1e-6)


def test_rollout_of_the_others_is_as_they_are_built() -> None:
    torch.manual_seed(0)
    model = create_model("msstnet").eval()
    heat = rollout(model, clip_of(model)[None])[0]
    assert (heat.sum(0) - heat.sum() / 64**2).abs().max() < 1e-5, "its attention joins no places"
    assert heat[:, 0, 0].std() > 0
    model = create_model("former_dfer").eval()
    clips = clip_of(model)[None]
    token = [each[0].mean(0) for name, each in attention_maps(model, clips).items() if name.startswith("blocks.")]
    frames = torch.eye(9)
    for layer in token:
        frames = (torch.eye(9) + layer) / 2 @ frames
    heat = rollout(model, clips)[0]
    shares = heat.sum((1, 2)) / heat.sum()
    middle = torch.nn.functional.interpolate(frames[:1, None, 1:], 8, mode="linear")[0, 0]
    assert torch.allclose(shares, middle / middle.sum(), atol=1e-3)
    with pytest.raises(InputError, match="cannot be followed"):
        heat_map(create_model("frame_average"), clip_of(create_model("frame_average")), 0, "attention rollout")
    with pytest.raises(InputError, match="cannot be followed"):
        rollout(create_model("stt", temporal=False), clips)


FEW = ("stt", "staner", "resnet18_lstm", "r3d18")


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in FEW else pytest.mark.thorough) for name in list_models()]
)
def test_every_model_has_every_kind_of_map_and_stays_as_it_was(name: str) -> None:
    pytest.importorskip("captum", reason="captum is not installed")
    torch.manual_seed(0)
    model = create_model(name, **({} if name != "r3d18" else {"width": 8})).train()
    clip = clip_of(model)
    before = [module.training for module in model.modules()]
    for kind in kinds_of(model):
        if kind == "occlusion" and name not in ("stt", "staner"):
            continue
        heat, label = heat_map(model, clip, None, kind)
        assert heat.shape == (8, *clip.shape[-2:]) and heat.dtype == np.float32
        assert heat.min() >= 0 and heat.max() in (0, 1)
        np.testing.assert_array_equal(heat, heat_map(model, clip, label, kind)[0])
    assert [module.training for module in model.modules()] == before
    assert all(p.grad is None for p in model.parameters())
    assert ("attention rollout" in kinds_of(model)) == (name in ("stt", "logo_former", "msstnet", "former_dfer"))
    with pytest.raises(InputError, match="no class 7"):
        heat_map(model, clip, 7, "integrated gradients")
    with pytest.raises(InputError, match="kind of map"):
        heat_map(model, clip, 0, "saliency")
    assert set(kinds_of(model)) <= set(KINDS)
