"""Faces in the frames of a video: found, followed, told apart, and cut out as MakeFaces frames its own.

finding -> following, smoothing -> tracking (all, over a whole video); landmarks -> identity and aligning; cutting.
It may know the ground and `dferlib.video.reading`. dlib finds faces and landmarks; where it cannot be installed,
`tracking.track_middle` takes the middle of each frame for the face. What tells people apart is handed in.
"""
