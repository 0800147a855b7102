"""A trained model on a person's own video or camera.

`predictor` finds the faces of a video, and meanwhile `asking` asks the model about their `clips`; what it says is a
`timeline`, which `drawing` draws, `writing` writes for the command line and `annotating` puts into the video. `live` is
for a camera. `export` writes a model as a file that runs without torch.
It may know everything below: the ground, `video`, `data`, `makefaces`, `models`, `training` and `evidence`.
"""
