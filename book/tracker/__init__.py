"""Notes what a chapter depends on, in the processes of its run.

`sitecustomize` is on the path of a run by itself, so it may know nothing but Python; `definitions` is also what
`execution` knows functions by.
"""
