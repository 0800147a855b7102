"""How long `dferlib check-data` takes on a set of the size of DFEW, and what it spends the time on.

python -m benchmarks.check_data [CLIPS]          (12,000 if not given: half a million files, some 2 GB of disk)

The tree is laid out as DFEW is: folders of numbered JPEG files of 224 x 224 pixels, five folds of lists, clips of 11 to
847 frames, 50 on average. Its frames are noise, and neighbouring frames are one file under several names (hard
links), which keeps the tree small. Each name is opened, and its beginning and end are read, as it would be in a real
copy. The tree has just been written, so that it lies in memory: what is timed is the work, not the disk.
"""

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from dferlib.data.check import check_data
from dferlib.data.sets import DFEW

CLIPS, MEAN_FRAMES, SHORTEST, LONGEST = 12_000, 50, 11, 847
SIDE = 224  # pixels
SHARE = 64  # frames that are one file on the disk: every system allows as many links


def lengths(clips: int) -> list[int]:
    """A number of frames for each clip: log-normal, with the extremes of DFEW."""
    rng = np.random.default_rng(0)
    drawn = rng.lognormal(0, 0.6, clips)
    return (drawn / drawn.mean() * MEAN_FRAMES).round().clip(SHORTEST, LONGEST).astype(int).tolist()


def make_frames(folder: Path, counts: list[int]) -> None:
    """The frames of every clip."""
    rng = np.random.default_rng(1)
    coarse = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    used, file = SHARE, folder
    for clip, count in enumerate(counts, 1):
        here = folder / f"{clip:05d}"
        here.mkdir(parents=True)
        for frame in range(1, count + 1):
            path = here / f"{frame}.jpg"
            if used == SHARE:
                image.save(path, quality=90)
                used, file = 0, path
            else:
                path.hardlink_to(file)
            used += 1


def make_lists(folder: Path, clips: int) -> None:
    """The lists of the five folds: every fifth clip is tested."""
    for fold in range(1, DFEW.FOLDS + 1):
        for split in DFEW.SPLITS:
            mine = [k for k in range(1, clips + 1) if (k % DFEW.FOLDS == fold - 1) == (split == "test")]
            path = folder / f"{split}(single-labeled)" / f"set_{fold}.csv"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("video_name,label\n" + "".join(f"{k},{1 + k % 7}\n" for k in mine))


def main(clips: int) -> None:
    """Build the tree, check it, and print how long that took."""
    counts = lengths(clips)
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        print(f"building {clips} clips, {sum(counts)} frames ...", flush=True)
        make_frames(root / "Clip" / "clip_224x224", counts)
        make_lists(root / "EmoLabel_DataSplit", clips)
        begin, worked = time.perf_counter(), time.process_time()
        report = check_data("DFEW", root)
        seconds, worked = time.perf_counter() - begin, time.process_time() - worked
    other = [problem for problem in report.problems if problem.kind != "unofficial"]
    if other:
        raise SystemExit(f"the tree should be whole: {other[0].text}")
    print(f"{clips} clips, {sum(counts)} frames: {seconds:.1f} s ({worked:.1f} s of processor time)")
    print(f"{1e6 * seconds / sum(counts):.0f} microseconds a frame, {1000 * seconds / clips:.1f} ms a clip")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else CLIPS)
