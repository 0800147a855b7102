"""How like real people the rendered ones are: the measures, the photographs, the comparison, and the fit to them.

`python -m dferlib.makefaces.realism PHOTOS` compares; with `--fit` it writes `assets/proportions.npz`, from which
`proportions.py` draws people. It may know the ground, `video` and the rest of this wing; nothing here decides a pixel
but through that file. Landmarks are dlib's, on photographs and on rendered faces alike.
"""
