"""Frames of video files, and the faces in them.

`reading` gives the frames of any file with their times: `opening` decodes them, `clock` says when they are shown,
`pixels` and `hdr` make them what a viewer sees. `faces` finds, follows, tells apart and cuts out.
It may know the ground (`errors`, `files`, `devices`, `emotions`) and nothing else of the library: what needs a network
or a template of a face is handed one.
"""
