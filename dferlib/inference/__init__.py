"""A trained model on a person's own video or camera.

It may know everything below: the ground, `video`, `data`, `makefaces`, `models`, `training` and `evidence`.
"""
