"""The drawings of the models with blocks of attention: STT, LOGO-Former, MSSTNet, Former-DFER and NR-DFERNet."""

from typing import Any

from dferlib.book.drawings.common import (
    TOKENS,
    Columns,
    Panel,
    attention_step,
    backbone_name,
    backbone_step,
    clip_step,
    head_steps,
    mlp_step,
    norm_step,
    shortcut,
)
from dferlib.book.drawings.elements import Arrow, Branches, Element, Gap, Picture, Plus, Step
from dferlib.book.drawings.ladder import Ladder, stage_name
from dferlib.book.drawings.pictures import patches, reach
from dferlib.book.drawings.sources import cite
from dferlib.book.drawings.steps import MAPS, fitting
from dferlib.book.drawings.trace import Trace
from dferlib.book.drawings.words import BOTH, FRAME, PLAIN, TIME, TOKEN
from dferlib.models import STT, LOGOFormer
from dferlib.models.attention import windows_of
from dferlib.models.logo_former import LOGOBlock
from dferlib.models.msstnet import TemporalBlock
from dferlib.models.stt import STTBlock


def _to_tokens(trace: Trace, kind: type) -> list[Element]:
    """From the maps to tokens with the position of their place."""
    return [
        Step("1 × 1 convolution", "every place of a map becomes a token", TOKEN, count=trace.count("project")),
        Arrow(trace.gives("project"), TOKENS),
        Step(
            "Position of the place",
            "a learnt vector for each place is added",
            PLAIN,
            cite(kind, "space_position"),
            trace.count("space_position"),
        ),
        Arrow(),
    ]


def stt(trace: Trace) -> Columns:
    """STT: the model, a block, and who looks at whom in it."""
    model: Any = trace.model
    inside = trace.takes("blocks.0")
    axes = fitting(inside, TOKENS, model.input_spec.frames)
    token = model.class_token is not None
    parts = [*clip_step(trace), *backbone_step(trace), *_to_tokens(trace, STT)]
    if token:
        words = "one learnt vector, at every place of a frame of its own in front of the first"
        parts += [Step("Class token", words, PLAIN, count=trace.count("class_token")), Arrow()]
    parts += [
        Step("Position in time", "a learnt vector for each time is added", PLAIN, cite(STT, "time_position"),
             trace.count("time_position")),
        Arrow(inside, axes),
        Step("STT block", "over space, then over time, then MLP", BOTH, count=trace.count("blocks.0"),
             copies=len(model.blocks)),
        Arrow(trace.gives(f"blocks.{len(model.blocks) - 1}"), axes),
        norm_step(trace, "norm"),
        Arrow(),
        Step("Mean", "of the class tokens over the places" if token else "over all tokens", PLAIN),
        *head_steps(trace),
    ]  # fmt: skip
    return [[Panel("STT", "", parts)], _stt_block(trace, axes, "class" if token else "")]


def _stt_block(trace: Trace, axes: str, first: str) -> list[Panel]:
    """Inside a block, and who looks at whom there, unless nobody does."""
    model: Any = trace.model
    inside = trace.takes("blocks.0")
    block, pictures = list[Element]([Arrow(inside, axes)]), list[Element]()
    frames, places = inside[1], inside[2]
    assert isinstance(frames, int) and isinstance(places, int)
    for name, look, keys in (
        ("spatial", FRAME, f"a token sees the {places} of its frame"),
        ("temporal", TIME, f"a token sees the {frames} at its place"),
    ):
        attention = getattr(model.blocks[0], name)
        if attention is None:
            continue
        path = f"blocks.0.{name}"
        step = attention_step(trace, path, keys=keys, cited=cite(STTBlock, name))
        norm = norm_step(trace, f"blocks.0.norm_{name}")
        block += [shortcut([norm, Arrow(), step], cite(STTBlock, f"+{name}")), Arrow()]
        pictures += [Picture(reach(attention, frames, places, look, first), f"{step.name}"), Gap()]
    mlp = [norm_step(trace, "blocks.0.norm_mlp"), Arrow(), mlp_step(trace, "blocks.0.mlp")]
    block += [shortcut(mlp, cite(STTBlock, "+mlp")), Arrow(trace.gives("blocks.0"), axes)]
    return [Panel("Inside an STT block", "", block), *([_who(pictures)] if pictures else [])]


def _who(pictures: list[Element]) -> Panel:
    return Panel("Who looks at whom", "The place without a colour asks; the coloured ones answer.", pictures)


def logo_former(trace: Trace) -> Columns:
    """LOGO-Former: the model, a block, its windows and what is pooled of them."""
    model: Any = trace.model
    inside = trace["blocks.0"].takes[-1]
    frames, places = inside[1], inside[2]
    assert isinstance(frames, int) and isinstance(places, int)
    token = Step("Class token", "one learnt vector for the clip, kept apart", PLAIN, count=trace.count("class_token"))
    parts = [
        *clip_step(trace), *backbone_step(trace), *_to_tokens(trace, LOGOFormer),
        Step("Position in time", "a learnt vector for each frame is added", PLAIN, count=trace.count("time_position")),
        Arrow(), token, Arrow(inside, TOKENS, "and a class token"),
        Step("LOGO block", "within windows, to all windows, MLP", BOTH,
             count=trace.count("blocks.0"), copies=len(model.blocks)),
        Arrow(trace["norm"].takes[0], "B D", "the class token"),
        norm_step(trace, "norm"), *head_steps(trace),
    ]  # fmt: skip
    windows = windows_of(model.blocks[0].local_.window, frames, places)
    pictures: list[Element] = []
    for name, words in (("local_", "Local: its own window"), ("global_", "Global: one pooled token of every window")):
        pictures += [Picture(reach(getattr(model.blocks[0], name), frames, places, BOTH), words), Gap()]
    count = windows[0] * windows[1] * windows[2]
    f, h, w = model.blocks[0].local_.window
    said = f"{count} windows of {f} frames and {h} × {w} places; a bar joins the frames of one."
    who = Panel("Who looks at whom", said, pictures)
    return [[Panel("LOGO-Former", "", parts)], [Panel("Inside a LOGO block", "", _logo_block(trace)), who]]


def _logo_block(trace: Trace) -> list[Element]:
    """Local attention, global attention whose keys are pooled, MLP."""
    block = trace.model.get_submodule("blocks.0")
    assert isinstance(block, LOGOBlock)
    inside = trace["blocks.0"].takes[-1]
    f, h, w = block.local_.window
    # the norm is called twice: on what is pooled, then on all tokens
    pooled, queries = (call.takes[0] for call in trace.all_of("blocks.0.norm_global"))
    local = attention_step(trace, "blocks.0.local_", keys=f"a token sees the {f * h * w} of its window")
    to_pooled = [
        Step("Pool", "one token of each window", BOTH, cite(LOGOBlock, "pooled")),
        Arrow(pooled, "B M D"),
        norm_step(trace, "blocks.0.norm_global"),
        Arrow(note="keys, values", tip=False),
    ]
    to_queries = [
        Step("All tokens", "the class token first", PLAIN, cite(LOGOBlock, "queries")),
        Arrow(queries, "B n D"),
        norm_step(trace, "blocks.0.norm_global"),
        Arrow(note="queries", tip=False),
    ]
    attention = attention_step(
        trace, "blocks.0.global_", keys=f"a token sees {pooled[1]} pooled tokens"
    )  # fmt: skip
    mlp = [norm_step(trace, "blocks.0.norm_mlp"), Arrow(), mlp_step(trace, "blocks.0.mlp")]
    return [
        Arrow(inside, TOKENS, "and a class token"),
        shortcut([norm_step(trace, "blocks.0.norm_local"), Arrow(), local], cite(LOGOBlock, "+local_")),
        Arrow(),
        shortcut([Branches([to_queries, to_pooled], attention)], cite(LOGOBlock, "+global_")),
        Arrow(),
        shortcut(mlp, cite(LOGOBlock, "+mlp")),
        Arrow(trace["blocks.0"].gives[-1], TOKENS, "and the class token"),
    ]


def msstnet(trace: Trace) -> Columns:
    """MSSTNet: the ladder of scales, a block of a T-Former, and who looks at whom in it."""
    model: Any = trace.model
    inside = trace.takes("t_formers.0.0")
    frames, places = inside[1], inside[2]
    assert isinstance(frames, int) and isinstance(places, int)
    axes = "B F S D"
    parts = [
        *clip_step(trace), Ladder(trace), norm_step(trace, "norm"), Arrow(),
        Step("Mean", "over frames and patches", PLAIN), *head_steps(trace),
    ]  # fmt: skip
    path = "t_formers.0.0"
    temporal = attention_step(
        trace, f"{path}.temporal", keys=f"a token sees the {frames} of its patch",
        cited=cite(TemporalBlock, "temporal"),
    )  # fmt: skip
    block = [
        Arrow(inside, axes),
        shortcut([norm_step(trace, f"{path}.norm_temporal"), Arrow(), temporal], cite(TemporalBlock, "+temporal")),
        Arrow(),
        shortcut(
            [norm_step(trace, f"{path}.norm_mlp"), Arrow(), mlp_step(trace, f"{path}.mlp")],
            cite(TemporalBlock, "+mlp"),
        ),
        Arrow(trace.gives(path), axes),
    ]
    look = reach(model.get_submodule(f"{path}.temporal"), frames, places, TIME)
    cut = patches([(trace.gives(stage_name(trace, k))[-1], k) for k in model.backbone.stages], model.backbone.grid)
    return [
        [Panel("MSSTNet", "", parts)],
        [
            Panel("Inside a block of a T-Former", "", block),
            Panel(
                "Who looks at whom",
                "The place without a colour asks; the coloured ones answer.",
                [Picture(look, "Temporal attention")],
            ),
            Panel("The same patch at every scale", "Each map is cut into as many patches.", [Picture(cut)]),
        ],
    ]


def former_dfer(trace: Trace) -> Columns:
    """Former-DFER: the model, a block, and who looks at whom in both transformers."""
    model: Any = trace.model
    net, frames = model.backbone, model.input_spec.frames
    places = trace.takes("s_former.blocks.0")[-2]
    inside = trace.takes("blocks.0")
    early, late = [stage_name(trace, k, "backbone") for k in range(4)], stage_name(trace, 4, "backbone")
    parts = [
        *clip_step(trace),
        Step(f"{backbone_name(net)}, first part", "stem and three stages, every frame by itself", FRAME,
             count=trace.count(*early)),
        Arrow(trace.gives(early[-1]), MAPS),
        Step("Position of the place", "a learnt vector for each place is added", PLAIN,
             count=trace.count("s_former.position")),
        Arrow(trace.takes("s_former.blocks.0"), TOKENS),
        Step("S-Former block", "attention within each frame, MLP", FRAME, count=trace.count("s_former.blocks.0"),
             copies=len(model.s_former.blocks)),
        Arrow(trace.takes(late), MAPS),
        Step(f"{backbone_name(net)}, last stage", "", FRAME, count=trace.count(late)),
        Arrow(trace.gives(late), MAPS),
        Step("Mean", "over the places of each frame", PLAIN), Arrow(("B", frames, trace.gives(late)[2]), "B F D"),
        Step("Class token and positions", "one vector in front, a learnt vector added to each", PLAIN,
             count=trace.count("class_token", "position")),
        Arrow(inside, "B F+1 D"),
        Step("T-Former block", "attention over time, MLP", TIME, count=trace.count("blocks.0"),
             copies=len(model.blocks)),
        *_class_token(trace, trace.gives("blocks"), "B F+1 D"),
    ]  # fmt: skip
    assert isinstance(places, int)
    who = [
        Picture(reach(model.s_former.blocks[0].attention, frames, places, FRAME), "S-Former"), Gap(),
        Picture(reach(model.blocks[0].attention, frames + 1, 1, TIME, "class"), "T-Former"),
    ]  # fmt: skip
    block = former_block(trace, "blocks.0", f"a token sees all {frames + 1}", TIME, "B F+1 D")
    return [
        [Panel("Former-DFER", "", parts)],
        [Panel("Inside a block of the T-Former", "", block),
         Panel("Who looks at whom", "The place without a colour asks; the coloured ones answer.", who)],
    ]  # fmt: skip


def _class_token(trace: Trace, tokens: tuple, axes: str) -> list[Element]:
    return [Arrow(tokens, axes), Step("Class token", "the others are left behind", PLAIN), *head_steps(trace)]


def former_block(trace: Trace, path: str, keys: str, look: str, axes: str) -> list[Element]:
    """A block of Former-DFER or NR-DFERNet."""
    block: Any = trace.model.get_submodule(path)
    heads: int = block.attention.heads
    attention = Step("Attention", f"{heads} heads; {keys}", look, count=trace.count(f"{path}.attention"))
    return [
        Arrow(trace.takes(path), axes),
        shortcut([norm_step(trace, f"{path}.norm_attention"), Arrow(), attention]),
        Arrow(),
        shortcut([norm_step(trace, f"{path}.norm_mlp"), Arrow(), mlp_step(trace, f"{path}.mlp")]),
        Arrow(trace.gives(path), axes),
    ]


def nr_dfernet(trace: Trace) -> Columns:
    """NR-DFERNet: what moves and what is still, a block, and who looks at whom."""
    model: Any = trace.model
    frames = model.input_spec.frames
    moving = [
        Step("Differences", "to the next frame", PLAIN), Arrow(trace.takes("dynamic"), "B F−1 C₀ H W"),
        Step("3 residual blocks", "", FRAME, count=trace.count("dynamic")),
    ]  # fmt: skip
    still = [
        Step("3 × 3 convolution", "stride 2", FRAME, count=trace.count("patches")),
        Arrow(trace.takes("static"), "B F−1 S D"),
        Step("Static transformer", "within a frame", FRAME, count=trace.count("static.0", "space_position"),
             copies=len(model.static)),
    ]  # fmt: skip
    wide = trace.takes("temporal.0")
    parts = [
        *clip_step(trace), Step("ResNet, three stages", "every frame by itself", FRAME, count=trace.count("backbone")),
        Arrow(trace.gives("backbone"), MAPS),
        Branches([moving, still], Plus("added", above=True)),
        Arrow(trace.gives("dynamic"), "B F−1 C₀ H W"),
        Step("A token for each frame", "all numbers of its map in a row", PLAIN),
        Arrow(("B", frames - 1, wide[2]), "B F−1 D"),
        Step("Class token and positions", "the mean of the tokens in front", PLAIN, count=trace.count("time_position")),
        Arrow(wide, "B F D"),
        Step("Temporal transformer", "attention over time, MLP", TIME, count=trace.count("temporal.0"),
             copies=len(model.temporal)),
        *_class_token(trace, trace.gives("temporal"), "B F D"),
    ]  # fmt: skip
    block = former_block(trace, "temporal.0", f"a token sees all {frames}", TIME, "B F D")
    places = trace.takes("static.0")[2]
    assert isinstance(places, int)
    who = [
        Picture(reach(model.static[0].attention, frames - 1, places, FRAME), "Static transformer"), Gap(),
        Picture(reach(model.temporal[0].attention, frames, 1, TIME, "class"), "Temporal transformer"),
    ]  # fmt: skip
    return [
        [Panel("NR-DFERNet", "", parts)],
        [Panel("Inside a block", "of the temporal transformer", block),
         Panel("Who looks at whom", "The place without a colour asks; the coloured ones answer.", who)],
    ]  # fmt: skip
