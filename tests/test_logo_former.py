from pathlib import Path

import pandas as pd
import pytest
import torch
from loops import attention_by_loops, gelu, layer_norm, make, make_clips
from torch import Tensor, nn

from dferlib import InputError, attention_maps, create_model
from dferlib.evidence.complexity import complexity
from dferlib.models.attention import Attention, GlobalAttention, LocalAttention, SpatialAttention, TemporalAttention
from dferlib.models.logo_former import VARIANTS, LOGOFormer
from dferlib.training.objective import LOSSES


def tiny(**overrides) -> LOGOFormer:
    """4 frames of 2 x 2 places in four windows of 2 x 1 x 2 cells."""
    settings = {"frames": 4, "size": 32, "dim": 8, "heads": 2, "layers": 2, "window": (2, 1, 2), **overrides}
    return make("logo_former", **settings).eval()


def by_loops(model: LOGOFormer, maps: Tensor) -> Tensor:
    """Equations 1 to 10 for one clip (F, C, H, W), a token at a time."""
    F, _, H, W = maps.shape
    f, h, w = model.blocks[0].local_.window
    places = [(t, i, j) for t in range(F) for i in range(H) for j in range(W)]
    window = {(t, i, j): (t // f, i // h, j // w) for t, i, j in places}
    token = model.class_token[0, 0]
    x = {
        (t, i, j): model.project.weight @ maps[t, :, i, j]
        + model.project.bias
        + model.space_position[0, 0, i * W + j]
        + model.time_position[0, t, 0]
        for t, i, j in places
    }
    for block in model.blocks:
        n = {p: layer_norm(x[p], block.norm_local) for p in places}
        y = {
            p: x[p] + attention_by_loops(block.local_, n[p], [n[o] for o in places if window[o] == window[p]])
            for p in places
        }  # Eq. 1
        pooled = []
        for key in dict.fromkeys(window.values()):
            cells = [y[p] for p in places if window[p] == key]
            if block.global_.pool_weight is None:
                mean = sum(cells) / len(cells)
            else:
                mean = sum(c * v for c, v in zip(cells, block.global_.pool_weight, strict=True))
                mean = mean + block.global_.pool_bias
            pooled.append(layer_norm(mean, block.norm_global))
        out = []
        for z in [token, *y.values()]:
            z = z + attention_by_loops(block.global_, layer_norm(z, block.norm_global), pooled)  # Eq. 3 to 6
            first, last = block.mlp[0], block.mlp[-1]
            hidden = first.weight @ layer_norm(z, block.norm_mlp) + first.bias
            out.append(z + last.weight @ gelu(hidden) + last.bias)  # Eq. 7
        token, x = out[0], dict(zip(places, out[1:], strict=True))
    return model.head[1].weight @ layer_norm(token, model.norm) + model.head[1].bias  # Eq. 10


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
@pytest.mark.parametrize("pool", ["average", "conv"])
@torch.no_grad()
def test_equals_its_equations_written_as_loops(pool, dtype, tolerance):
    model = tiny(pool=pool).to(dtype)
    for parameter in [p for key, p in model.named_parameters() if not key.startswith("backbone")]:
        nn.init.normal_(parameter, std=0.3)
    maps = torch.randn(2, 4, 128, 2, 2, dtype=dtype)
    expected = torch.stack([by_loops(model, clip) for clip in maps])
    torch.testing.assert_close(model.forward_from_maps(maps), expected, rtol=tolerance, atol=tolerance * 10)


@pytest.mark.slow
@pytest.mark.parametrize("scale", ["book", "paper"])
def test_its_cost_in_closed_form(scale):
    model = make("logo_former", scale)
    S, D, C = 16, model.head[1].in_features, model.backbone.out_channels
    F, width, layers = model.input_spec.frames, model.blocks[0].mlp[0].out_features, len(model.blocks)
    window = model.blocks[0].local_.window
    local, global_ = LocalAttention(D, 4, window), GlobalAttention(D, 4, window)
    for_the_class_token = 2 * D * D + 2 * global_.seen(F, S) * D + 2 * D * width
    block = local.cost(F, S, D) + global_.cost(F, S, D) + 2 * F * S * D * width + for_the_class_token
    backbone = complexity(make("frame_average", scale)).gmac - 7 * C / 1e9
    expected = backbone + (F * S * C * D + layers * block + 7 * D) / 1e9
    assert complexity(model).gmac == pytest.approx(expected, rel=1e-9)


def test_it_is_cheaper_than_stt_in_its_attention():
    """Eq. 9 for the scores, projections aside."""
    F, S = 16, 16
    window = (4, 2, 2)
    logo = LocalAttention(8, 1, window).seen(F, S) + GlobalAttention(8, 1, window).seen(F, S)
    assert logo <= S + F < F * S


def test_variants_are_the_rows_of_table_2():
    reported = pd.read_csv(Path(__file__).parents[1] / "results" / "reported.csv")
    table = reported[(reported.paper == "LOGO-Former") & (reported.table == "Table 2")]
    assert VARIANTS.keys() <= set(table.method)
    for row, (name, overrides, loss) in VARIANTS.items():
        assert name == ("stt" if row.startswith("Baseline") else "logo_former")
        assert loss in LOSSES
        assert (loss == "compact") == (row in ("Baseline w/ Reg", "LOGO-Former"))
        model = make(name, **overrides)
        kinds = {type(m) for m in model.modules() if isinstance(m, Attention)}
        local = {LocalAttention, GlobalAttention}
        assert kinds == (local if name == "logo_former" else {SpatialAttention, TemporalAttention})


@torch.no_grad()
def test_attention_maps():
    model = make("logo_former")
    shapes = {key: tuple(w.shape) for key, w in attention_maps(model, make_clips(model)).items()}
    assert shapes["blocks.0.local_"] == (2, 4, 2, 2, 4, 8, 8)  # B, windows in time, rows, columns, N_h, fhw, fhw
    assert shapes["blocks.1.global_"] == (2, 4, 129, 16)  # B, N_h, class token and clip tokens, windows


@pytest.mark.parametrize(
    ("overrides", "message"),
    [({"frames": 9}, "9 frames of 4 x 4 places do not split"), ({"window": (2, 3, 2)}, "do not split"),
     ({"pool": "max"}, "unknown pooling 'max'"), ({"window": (2, 2)}, "frames, rows and columns")],
)  # fmt: skip
def test_windows_that_do_not_fit(overrides, message):
    with pytest.raises(InputError, match=message):
        create_model("logo_former", weights=None, **overrides)
