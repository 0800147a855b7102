"""How drawings look: fonts, and colours for light and for dark pages."""

from dferlib.book.drawings.canvas import FONTS

# what the colours mean
LEGEND = {"frame": "within a frame", "time": "over time", "both": "over space and time", "token": "each token alone"}

# Boxes are a breath of colour over whatever the page is, so that the page's own colour of words is readable on them.
_LIGHT = {
    "ink": "#24292f", "mute": "#57606a", "line": "#6e7781", "accent": "#0a5c99", "on": "#ffffff",
    "plain": "#6e778114", "edge": "#b6bdc6",
    "frame": "#1f7bbf29", "frame-edge": "#3d86bf", "time": "#e0701f2b", "time-edge": "#cc6a22",
    "both": "#8250c826", "both-edge": "#8759c2", "token": "#3c8c4b21", "token-edge": "#5b9565",
}  # fmt: skip
_DARK = {
    "ink": "#e6e8eb", "mute": "#a9b1bb", "line": "#8b949e", "accent": "#7cbcf0", "on": "#10151b",
    "plain": "#aab4c01a", "edge": "#5b6570",
    "frame": "#4aa3e638", "frame-edge": "#5aa2d8", "time": "#f0883e38", "time-edge": "#e0905a",
    "both": "#a777f03d", "both-edge": "#a98bd0", "token": "#6cc07a30", "token-edge": "#7fb389",
}  # fmt: skip
_DARK_PAGES = "html[data-theme=dark],[data-jp-theme-light=false],.vscode-dark,html[theme=dark]"
_LIGHT_PAGES = "html[data-theme=light],[data-jp-theme-light=true],.vscode-light"


def _colours(colours: dict[str, str]) -> str:
    return "".join(f"--{name}:{value};" for name, value in colours.items())


def _fonts() -> str:
    """The size and weight of each kind of words."""
    rules = []
    for look, (size, bold) in FONTS.items():
        rules.append(f".dfer-drawing .{look}{{font-size:{size}px{';font-weight:700' if bold else ''}}}")
    return "".join(rules)


def _boxes() -> str:
    """The colours of each kind of box and of what is marked in pictures."""
    rules = [".dfer-drawing .plain{fill:var(--plain);stroke:var(--edge)}"]
    for look in LEGEND:
        rules.append(f".dfer-drawing .{look}{{fill:var(--{look});stroke:var(--{look}-edge)}}")
        rules.append(f".dfer-drawing .seen.{look}{{fill:var(--{look}-edge);stroke:none}}")
    return "".join(rules)


STYLE = (
    f".dfer-drawing{{{_colours(_LIGHT)}"
    'font-family:system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;line-height:1}'
    f"@media (prefers-color-scheme:dark){{.dfer-drawing{{{_colours(_DARK)}}}}}"
    f":is({_LIGHT_PAGES}) .dfer-drawing{{{_colours(_LIGHT)}}}"
    f":is({_DARK_PAGES}) .dfer-drawing{{{_colours(_DARK)}}}"
    "div.dfer-drawing.dfer-drawing{--ink:currentColor;display:flex;flex-wrap:wrap;justify-content:center;"
    "align-items:flex-start;margin:.5em 0;gap:var(--gap) min(var(--gap),16px)}"
    # the book's theme lays white paper under all HTML in dark pages
    "html[data-theme=dark] .bd-content div.cell_output .text_html.text_html:has(div.dfer-drawing)"
    "{background:none;color:inherit;padding:0}"
    "div.dfer-drawing .dfer-column{flex:1 1 calc(.9*var(--wide));max-width:var(--wide);"
    "display:flex;flex-direction:column;gap:var(--gap)}"
    "div.dfer-drawing svg{display:block;width:100%;height:auto}"
    ".dfer-drawing text{fill:var(--ink);stroke:none}"
    ".dfer-drawing .middle{text-anchor:middle}.dfer-drawing .end{text-anchor:end}"
    ".dfer-drawing :is(.text,.sub,.axis,.count,.mark){fill:var(--mute)}.dfer-drawing .eq{fill:var(--accent)}"
    ".dfer-drawing :is(.line,.node,.sign,.sheet,.border,.feature){fill:none;stroke:var(--line)}"
    ".dfer-drawing .skip{stroke-dasharray:4 3}.dfer-drawing .tip{fill:var(--line)}"
    + _boxes()
    + ".dfer-drawing .sheet{fill:none}"
    ".dfer-drawing .cell{fill:var(--plain);stroke:var(--edge)}.dfer-drawing .skin{fill:none;stroke:var(--line)}"
    ".dfer-drawing .query{fill:var(--ink)}.dfer-drawing .query.open{fill:none;stroke:var(--time-edge);stroke-width:2}"
    ".dfer-drawing .here{fill:var(--accent);stroke:var(--accent)}"
    ".dfer-drawing text.inside{fill:var(--on)}"
    '.dfer-drawing .formula{font-family:Cambria,Georgia,"Times New Roman",serif;font-style:italic}'
    ".dfer-drawing .index{font-size:75%}"
    ".dfer-drawing .border{stroke-width:.8}.dfer-drawing .fine{fill:none;stroke:var(--edge);stroke-width:.5}" + _fonts()
)
