"""Clips as tables of frames and labels: what every data set looks like from outside, and how it is stored.

`table` and `store` hold clips, `sampling` and `transforms` turn them into what a model takes, `pack` and `check` work
on public sets, which `sets` reads as they lie on disk; `packed` reads what was packed, `protocols` divides clips into
folds and joins them, `classes` gives them the labels of other classes.
It may know the ground and `video`.
"""
