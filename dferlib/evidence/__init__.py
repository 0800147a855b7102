"""What can be known of models: records of runs and the probes that keep them current, intervals, costs, explanations.

`results` are the records, `studies` makes them, `statistics` says how sure they are; `complexity`, `readings`, `speed`
and `parts` count and measure; `explain`, `heat_maps` and `rollout` look inside, and `map_scores` holds what they show
against the truth; `changed` renders a clip again with one thing changed, `using_time` shows it otherwise in time;
`flips`, `time_scores` and `frame_readings` say what models make of that. `linear_probes`, `class_distances` and
`planes` ask what features know, how they lie, and what a picture of them keeps; `drawn` pairs numbers over people.
`claims` judges by the records what the papers say, `audit` holds them against their own tables, and `epochs` says what
a choice on the test clips is worth.
It may know everything below: the ground, `video`, `data`, `makefaces`, `models` and `training`.
"""
