"""How `dferlib/video/faces/template.csv` was made, the landmarks to which faces are aligned.

python -m dferlib.makefaces.baking.template new.csv
"""

import sys
from pathlib import Path

import numpy as np

from dferlib.files import written_whole
from dferlib.makefaces.generator import HALF_WIDTH
from dferlib.makefaces.landmarks import find_landmarks
from dferlib.makefaces.rig import load_rig
from dferlib.makefaces.scene import CAMERA_DISTANCE


def bake_template() -> np.ndarray:
    """Where the 68 landmarks of the template head are, at rest and from the front.

    Returns:
        `(68, 2)`: x to the right and y down, in sides of the frame from its upper left corner.
    """
    rig = load_rig("cpu", False)
    points = find_landmarks(rig).of(rig.template[None])[0].double().numpy()
    lids, lips = (rig.template[which].double().mean(0).numpy() for which in (rig.lids, rig.lips > 0.5))
    middle = (lids + lips) / 2
    # the renderer's camera stands 10 cm farther off than the distance for which it is focused
    reach = CAMERA_DISTANCE / (points[:, 1] + CAMERA_DISTANCE + 0.1) / (2 * HALF_WIDTH)
    return np.stack([0.5 + points[:, 0] * reach, 0.5 - (points[:, 2] - middle[2]) * reach], 1)


if __name__ == "__main__":
    with written_whole(Path(sys.argv[1])) as path:
        np.savetxt(path, bake_template(), fmt="%.17g", delimiter=",", header="x,y", comments="")
