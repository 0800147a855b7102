"""Things in front of the face: glasses, sunglasses, a hand, hair, drawn over rendered frames, with truth.

`overlay` has what all share, `kinds` chooses and draws, and each kind has its file. All are lit by the scene's lamps,
and no draw depends on what the face expresses. Knows the renderer and the person, not the generator.
"""

from dferlib.makefaces.occluders.kinds import KINDS, occlude, possible_kinds, sample_occluder

__all__ = ["KINDS", "occlude", "possible_kinds", "sample_occluder"]
