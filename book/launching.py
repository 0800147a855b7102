"""Buttons that open a chapter on Colab and Binder, as soon as `_config.yml` says where the project is."""

from sphinx.application import Sphinx
from sphinx.config import Config


def without_address(_: Sphinx, config: Config) -> None:
    """No buttons while nobody has said where: the theme would fail over them."""
    options = config.html_theme_options
    if not options.get("repository_url"):
        options.pop("launch_buttons", None)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("config-inited", without_address)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
