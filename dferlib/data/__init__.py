"""Clips as tables of frames and labels: what every data set looks like from outside, and how it is stored.

`table` and `store` hold clips, `sampling` and `transforms` turn them into what a model takes, `pack` and `check` work
on public sets, which `sets` reads as they lie on disk; `protocols` divides clips into folds.
It may know the ground and `video`.
"""
