"""What can be known of models: records of runs and the probes that keep them current, intervals, costs, explanations.

`results` are the records, `studies` makes them, `statistics` says how sure they are, and `claims` judges by them what
the papers say; `complexity`, `readings`, `speed` and `parts` count and measure; `explain` looks inside.
It may know everything below: the ground, `video`, `data`, `makefaces`, `models` and `training`.
"""
