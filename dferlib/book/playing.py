"""The player: clips that play in step, and panels that follow, in one piece of HTML."""

import base64
import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from dferlib.book.explorers import Interactive, explorer, room
from dferlib.book.panels import Panel, check_panel, is_by_clip
from dferlib.book.sprites import COLUMNS, as_bytes, grey, sheet, webp
from dferlib.errors import InputError

Arrange = Literal["", "side", "choose"]
ByClip = np.ndarray | Mapping[str, np.ndarray]
QUALITIES = (84, 76, 68, 60, 52, 44, 36)  # the first with which it is small enough is taken
HEAT_QUALITY = 50
SIDE_BY_SIDE = 4  # more clips than these take turns on the stage
BROAD = 1.4  # times as wide as high: such a clip stands above its panels, which others have beside them
ICONS = {
    "Play": '<path class="fim-to-play" d="M7 5v14l12-7z"/><path class="fim-to-pause" d="M7 5h4v14H7zM14 5h4v14h-4z"/>',
    "One frame back": '<path d="M6 5h2.5v14H6zM18 5v14l-8-7z"/>',
    "One frame on": '<path d="M15.500 5H18v14h-2.500zM6 5v14l8-7z"/>',
    "Again and again": '<path d="M12 5V1.500L7.500 6 12 10.500V7a5 5 0 1 1-5 5H5a7 7 0 1 0 7-7z"/>',
}


@dataclass(frozen=True)
class Points:
    """Points on the clips that a button shows, such as landmarks.

    Attributes:
        name: on the button.
        places: (F, P, 2) right and down in pixels; or such an array for each clip, by its name.
        shown: from the beginning.
    """

    name: str
    places: ByClip
    shown: bool = False


@dataclass(frozen=True)
class Heat:
    """Heat over the clips that a button shows, such as motion or Grad-CAM. Where there is none the face stays as it is.

    Attributes:
        name: on the button.
        maps: (F, h, w) from 0 to 1; or such an array for each clip, by its name.
        shown: from the beginning.
    """

    name: str
    maps: ByClip
    shown: bool = False


def player(
    clips: ByClip,
    panels: Sequence[Panel] = (),
    overlays: Sequence[Points | Heat] = (),
    *,
    alt: str,
    seconds: float = 2.0,
    first: int = 0,
    arrange: Arrange = "",
    starts: bool = True,
) -> Interactive:
    """Clips that play in step under one scrubber, with panels that follow: by mouse, touch and keyboard.

    Where scripts are off, all frames stand in rows over their curves. Where less motion is wanted, it only waits.

    Args:
        clips: (F, 3, H, W) uint8 or float in [0, 1]; or several by name, all of one shape.
        panels: `Curves` and `Bars`; with values for each clip they stand with the clip, else below all of them.
        overlays: `Points` and `Heat`, each with a button.
        alt: what it shows, for those who do not see it.
        seconds: between the first frame and the last.
        first: the frame that is shown at rest.
        arrange: "side" shows all clips equally large, "choose" one and all small below; by default up to four "side".
        starts: whether it plays two times when it comes into view.

    Returns:
        The player, at most 400 kB: pictures are compressed as much as that needs.

    Raises:
        InputError: no text; shapes or names that do not fit; or too much to fit into 400 kB.
    """
    named = {name: as_bytes(clip) for name, clip in _by_clip(clips, ("clip",)).items()}
    frames = _check(named, panels, overlays, first)
    names, arrange = tuple(named), arrange or ("choose" if len(named) > SIDE_BY_SIDE else "side")
    own = [panel for panel in panels if is_by_clip(panel, names)]
    shared = [panel for panel in panels if not is_by_clip(panel, names)]
    data: dict[str, object] = {"frames": frames, "seconds": seconds, "first": first, "starts": starts}
    data |= {"columns": min(COLUMNS, frames), "rows": -(-frames // COLUMNS), "points": _points(overlays, named)}
    data["arrange"] = arrange
    data["panels"] = [one.data() for one in (*(panel.of(name) for name in names for panel in own), *shared)]
    for quality in QUALITIES:
        shown = [_clip(name, clip, own, overlays, seconds, quality, len(names) > 1) for name, clip in named.items()]
        body = _body(shown, shared, overlays, arrange, seconds, frames)
        if len(body.encode()) <= room(data, "player", alt):
            break
    return explorer(body, data, "player", alt=alt)


def _by_clip(values: ByClip, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Values by the name of the clip."""
    return dict(values) if isinstance(values, Mapping) else {names[0]: values}


def _check(clips: dict[str, np.ndarray], panels: Sequence[Panel], overlays: Sequence[Points | Heat], first: int) -> int:
    """See that all fits; the number of frames."""
    shapes = {clip.shape for clip in clips.values()}
    if len(shapes) != 1 or next(iter(shapes))[0] < 2:
        raise InputError(f"clips that play in step have one shape and two frames at least, not {sorted(shapes)}")
    frames = next(iter(shapes))[0]
    if not 0 <= first < frames:
        raise InputError(f"there is no frame {first}: the clips have {frames}")
    for panel in panels:
        check_panel(panel, frames)
    for one in overlays:
        values = _by_clip(one.places if isinstance(one, Points) else one.maps, tuple(clips))
        if set(values) != set(clips) or any(len(value) != frames for value in values.values()):
            raise InputError(f"{one.name!r} needs {frames} frames for each of {', '.join(clips)}")
    return frames


def _points(overlays: Sequence[Points | Heat], clips: dict[str, np.ndarray]) -> list[str]:
    """Where points lie, in 255 parts of a frame, one byte each: clip by clip, and in it overlay by overlay."""
    found = []
    for name, clip in clips.items():
        for one in overlays:
            if isinstance(one, Points):
                parts = 255 * _by_clip(one.places, tuple(clips))[name] / (clip.shape[2], clip.shape[1])
                found.append(base64.b64encode(parts.round().clip(0, 255).astype(np.uint8).tobytes()).decode())
    return found


def _clip(
    name: str,
    clip: np.ndarray,
    panels: Sequence[Panel],
    overlays: Sequence[Points | Heat],
    seconds: float,
    quality: int,
    is_named: bool,
) -> str:
    """A clip with its overlays and its own panels."""
    said = f"{html.escape(name)}: {len(clip)} frames from 0 to {seconds:g} s"
    # dark-light: the book's theme dims all other pictures in its dark mode
    layers = f'<img class="fim-sprite dark-light" src="{webp(sheet(clip), quality)}" alt="{said}">'
    for number, one in enumerate(overlays):
        hidden = "" if one.shown else " hidden"
        if isinstance(one, Points):
            layers += f'<svg class="fim-points" data-layer="{number}" viewBox="0 0 255 255"{hidden}><path d=""/></svg>'
        else:
            source = webp(sheet(grey(_by_clip(one.maps, (name,))[name])), HEAT_QUALITY)
            words = html.escape(f"{one.name}, {name}")
            layers += f'<img class="fim-heat dark-light" data-layer="{number}" src="{source}" alt="{words}"{hidden}>'
    title = f'<span class="fim-name">{html.escape(name)}</span>' if is_named else ""
    ratio = f"--ratio:{clip.shape[2] / clip.shape[1]:.4g}"
    own = "".join(panel.of(name).markup(seconds) for panel in panels)
    screen = f'<div class="fim-screen" style="{ratio}"><div class="fim-layers">{layers}</div></div>'
    kind = "fim-clip fim-broad" if clip.shape[2] > BROAD * clip.shape[1] else "fim-clip"
    return f'<div class="{kind}">{screen}{title}{own and f"""<div class="fim-own">{own}</div>"""}</div>'


def _body(
    clips: Sequence[str],
    shared: Sequence[Panel],
    overlays: Sequence[Points | Heat],
    arrange: str,
    seconds: float,
    frames: int,
) -> str:
    """All of it but style and script."""
    below = "".join(panel.markup(seconds) for panel in shared)
    toggles = "".join(
        f'<button type="button" class="fim-toggle" data-toggle="{number}" aria-pressed="{str(one.shown).lower()}">'
        f"{html.escape(one.name)}</button>"
        for number, one in enumerate(overlays)
    )
    play, back, on, again = (
        f'<button type="button" class="fim-icon" aria-label="{name}" title="{name}">'
        f'<svg viewBox="0 0 24 24" aria-hidden="true">{drawing}</svg></button>'
        for name, drawing in ICONS.items()
    )
    speeds = "".join(
        f'<option value="{value}">{name}</option>' for value, name in ((1, "1×"), (0.5, "½×"), (0.25, "¼×"))
    )
    return (
        f'<div class="fim-all fim-{arrange}"><div class="fim-clips" style="--n:{len(clips)}">{"".join(clips)}</div>'
        f'{below and f"""<div class="fim-shared">{below}</div>"""}</div>'
        f'<div class="fim-bar fim-live"><span class="fim-group">{back}{play}{on}</span>'
        f'<input type="range" min="0" max="{frames - 1}" step="1" value="0" aria-label="Frame">'
        f'<output class="fim-time"></output><span class="fim-group"><select aria-label="Speed">{speeds}</select>{again}'
        f"{toggles}</span></div>"
    )
