"""Learning from clips: `loop` is the page to read first, and everything that it calls stands beside it.

`config` and `recipes` say how, `loader` brings batches, `objective` and `optimiser` are what is minimised and by what
steps, `evaluation` and `metrics` judge, `checkpoints` keeps, `processes` shares the work.
It may know the ground, `video`, `data`, `makefaces` and `models`.
"""
