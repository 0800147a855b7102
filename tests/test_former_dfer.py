"""Former-DFER against its public code: the names and shapes of a state dict, and what it computes, written anew."""

import pickle

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from loops import make, make_clips
from torch import Tensor

from dferlib import EMOTIONS, InputError
from dferlib.evidence.complexity import complexity
from dferlib.models.former_dfer_weights import load_former_dfer_weights


def transformer(prefix: str, layers: int, dim: int, hidden: int) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for i in range(layers):
        at = f"{prefix}.spatial_transformer.layers.{i}"
        shapes |= {f"{at}.{j}.fn.norm.{kind}": (dim,) for j in (0, 1) for kind in ("weight", "bias")}
        shapes |= {f"{at}.0.fn.fn.to_qkv.weight": (3 * dim, dim)}
        shapes |= {f"{at}.0.fn.fn.to_out.0.weight": (dim, dim), f"{at}.0.fn.fn.to_out.0.bias": (dim,)}
        shapes |= {f"{at}.1.fn.fn.net.0.weight": (hidden, dim), f"{at}.1.fn.fn.net.0.bias": (hidden,)}
        shapes |= {f"{at}.1.fn.fn.net.3.weight": (dim, hidden), f"{at}.1.fn.fn.net.3.bias": (dim,)}
    return shapes


def public_shapes(classes: int = 7) -> dict[str, tuple[int, ...]]:
    """Every tensor of the public code's state dict."""
    convs = {"conv1": (64, 3, 7, 7)}
    norms = {"bn1": 64}
    widths = (64, 64, 128, 256, 512)
    for stage in range(1, 5):
        for block in range(2):
            at, c, inputs = f"layer{stage}.{block}", widths[stage], widths[stage - 1 + block]
            convs |= {f"{at}.conv1": (c, inputs, 3, 3), f"{at}.conv2": (c, c, 3, 3)}
            norms |= {f"{at}.bn1": c, f"{at}.bn2": c}
            if inputs != c:
                convs[f"{at}.downsample.0"], norms[f"{at}.downsample.1"] = (c, inputs, 1, 1), c
    shapes: dict[str, tuple[int, ...]] = {f"s_former.{key}.weight": shape for key, shape in convs.items()}
    for key, width in norms.items():
        kinds = ("weight", "bias", "running_mean", "running_var")
        shapes |= {f"s_former.{key}.{kind}": (width,) for kind in kinds}
        shapes[f"s_former.{key}.num_batches_tracked"] = ()
    shapes |= {"s_former.pos_embedding": (1, 49, 256)} | transformer("s_former", 1, 256, 512)
    shapes |= {"t_former.cls_token": (1, 1, 512), "t_former.pos_embedding": (1, 17, 512)}
    return shapes | transformer("t_former", 3, 512, 1024) | {"fc.weight": (classes, 512), "fc.bias": (classes,)}


def public_state(classes: int = 7) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    state = {}
    for key, shape in public_shapes(classes).items():
        if key.endswith("num_batches_tracked"):
            state[key] = torch.tensor(5)
        elif key.endswith("running_var") or (len(shape) == 1 and key.endswith("weight")):
            state[key] = torch.rand(shape, generator=generator) + 0.5
        else:
            fan = max(1, int(np.prod(shape[1:])))
            state[key] = torch.randn(shape, generator=generator) / fan**0.5
    return state


def compute(state: dict[str, Tensor], clip: Tensor) -> Tensor:
    """What the public code computes for one clip (16, 3, 112, 112), from its names alone."""

    def norm(x: Tensor, at: str) -> Tensor:
        kinds = ("running_mean", "running_var", "weight", "bias")
        return F.batch_norm(x, *(state[f"s_former.{at}.{kind}"] for kind in kinds))

    def conv(x: Tensor, at: str, stride: int = 1) -> Tensor:
        weight = state[f"s_former.{at}.weight"]
        return F.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2)

    def transform(x: Tensor, prefix: str, layers: int) -> Tensor:
        for i in range(layers):
            first, second = (f"{prefix}.spatial_transformer.layers.{i}.{j}.fn" for j in (0, 1))
            y = F.layer_norm(x, x.shape[-1:], state[f"{first}.norm.weight"], state[f"{first}.norm.bias"])
            q, k, v = (y @ state[f"{first}.fn.to_qkv.weight"].T).chunk(3, -1)
            heads = []
            for q_h, k_h, v_h in zip(q.chunk(8, -1), k.chunk(8, -1), v.chunk(8, -1), strict=True):
                heads.append((q_h @ k_h.transpose(-2, -1) / q_h.shape[-1] ** 0.5).softmax(-1) @ v_h)
            weight, bias = (state[f"{first}.fn.to_out.0.{kind}"] for kind in ("weight", "bias"))
            x = x + torch.cat(heads, -1) @ weight.T + bias
            y = F.layer_norm(x, x.shape[-1:], state[f"{second}.norm.weight"], state[f"{second}.norm.bias"])
            y = y @ state[f"{second}.fn.net.0.weight"].T + state[f"{second}.fn.net.0.bias"]
            y = 0.5 * y * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (y + 0.044715 * y**3)))
            x = x + y @ state[f"{second}.fn.net.3.weight"].T + state[f"{second}.fn.net.3.bias"]
        return x

    x = F.max_pool2d(norm(conv(clip, "conv1", 2), "bn1").relu(), 3, 2, 1)
    for stage in range(1, 5):
        if stage == 4:
            tokens = x.flatten(2).transpose(1, 2) + state["s_former.pos_embedding"]
            x = transform(tokens, "s_former", 1).transpose(1, 2).view(x.shape)
        for block in range(2):
            at, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            y = norm(conv(norm(conv(x, f"{at}.conv1", stride), f"{at}.bn1").relu(), f"{at}.conv2"), f"{at}.bn2")
            if stride == 2:
                x = norm(conv(x, f"{at}.downsample.0", 2), f"{at}.downsample.1")
            x = (x + y).relu()
    z = torch.cat([state["t_former.cls_token"][0], x.mean((2, 3))]) + state["t_former.pos_embedding"][0]
    return state["fc.weight"] @ transform(z, "t_former", 3)[0] + state["fc.bias"]


class RecorderMeter:
    """As the public code keeps one in its checkpoints: an object of its own, with numpy arrays."""

    def __init__(self) -> None:
        self.epoch_losses = np.zeros((3, 2), dtype=np.float32)


@pytest.mark.slow
def test_its_size_and_cost_are_those_of_the_public_code():
    found = complexity(make("former_dfer", "paper"))
    assert found.parameters == 18_031_943
    assert found.gmac == pytest.approx(8.319, rel=0.01)


@torch.no_grad()
def test_weights_of_the_public_code_give_what_it_computes(tmp_path):
    state = public_state()
    torch.save(state, tmp_path / "model.pth")
    model = load_former_dfer_weights(tmp_path / "model.pth")
    assert model.classes == EMOTIONS
    assert not model.training
    clip = make_clips(model, 1)
    torch.testing.assert_close(model(clip)[0], compute(state, clip[0]), rtol=1e-4, atol=1e-4)


def test_a_whole_checkpoint_loads_without_running_code_in_it(tmp_path, monkeypatch):
    import __main__

    monkeypatch.setattr(__main__, "RecorderMeter", RecorderMeter, raising=False)
    monkeypatch.setattr(RecorderMeter, "__module__", "__main__")
    state = public_state(classes=5)
    whole = {
        "epoch": 3,
        "state_dict": {f"module.{key}": value for key, value in state.items()},
        "best_acc": torch.tensor(60.0),
        "recorder": RecorderMeter(),
    }
    torch.save(whole, tmp_path / "model.pth")
    model = load_former_dfer_weights(tmp_path / "model.pth")
    assert model.config["num_classes"] == 5
    assert not hasattr(model, "classes")  # whose they are, nobody says
    torch.testing.assert_close(model.head.weight, state["fc.weight"], rtol=0, atol=0)


class Dangerous:
    def __reduce__(self):
        return exec, ("raise SystemExit('this ran')",)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda s: s.pop("s_former.bn1.bias"), r"it lacks s_former\.bn1\.bias$"),
        (lambda s: s.update(extra=torch.zeros(1)), "it has left over extra$"),
        (lambda s: s.update({"t_former.pos_embedding": torch.zeros(1, 9, 512)}), "misfits t_former.pos_embedding"),
        (lambda s: [s.pop(key) for key in list(s) if "layer1" in key], r"lacks s_former\.layer1.* and 19 more"),
        (lambda s: s.update(note="trained on DFEW"), "holds no state dict"),
        (lambda s: s.update(note=Dangerous()), "more than weights"),
    ],
)
def test_what_does_not_fit_is_listed(tmp_path, spoil, message):
    state = public_state()
    spoil(state)
    torch.save(state, tmp_path / "model.pth")
    with pytest.raises(InputError, match=message) as caught:
        load_former_dfer_weights(tmp_path / "model.pth")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"not a model", pickle.dumps({"fc.weight": 3})])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "model.pth"
    with pytest.raises(InputError, match="there is no file"):
        load_former_dfer_weights(path)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"cannot read|holds no state dict"):
        load_former_dfer_weights(path)
