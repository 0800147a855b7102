"""Drawings of the models as SVG, made from the models themselves, and the map of the book.

`drawing` has `draw_model`; `trace` runs a model and notes the shapes; `sources` knows the equations. What a network
looks like is in `steps` (any), `transformers`, `staner`, `ladder` and `baselines`, built of `elements` and `pictures`
on a `canvas`. They know the models and nothing above these.
"""

from dferlib.book.drawings.drawing import Drawing, draw_model
from dferlib.book.drawings.places import book_map

__all__ = ["Drawing", "book_map", "draw_model"]
