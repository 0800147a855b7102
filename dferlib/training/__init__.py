"""Learning from clips: `loop` is the page to read first, and everything that it calls stands beside it.

`config` and `recipes` say how, `clips`, `loader` and `kept_maps` bring batches, `objective` and `optimiser` are what is
minimised and by what steps, `sharpness`, `averaging` and `activation_checkpointing` change a step, `evaluation` and
`metrics` judge, `state`, `run_folder` and `checkpoints` keep, `processes` shares the work.
It may know the ground, `video`, `data`, `makefaces` and `models`.
"""
