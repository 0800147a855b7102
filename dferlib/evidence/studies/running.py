"""Making the records of a study, in this process, in several, or on a cluster."""

import os
from concurrent.futures import Executor
from pathlib import Path

from dferlib.devices import AT_ONCE, do_jobs, start_workers
from dferlib.errors import InputError
from dferlib.evidence.results import Run
from dferlib.evidence.studies.agenda import Agenda
from dferlib.evidence.studies.board import Board
from dferlib.evidence.studies.clips import Clips, MakeFacesClips
from dferlib.evidence.studies.job import do_job
from dferlib.evidence.studies.matching import pick_study, study_folder


def run_study(
    name: str,
    clips: Clips,
    root: Path = Path("results"),
    keep_weights: bool = False,
    progress: bool = True,
    scale: str = "book",
    seeds: tuple[int, ...] | None = None,
    device: str = "auto",
    jobs: int | None = None,
    executor: Executor | None = None,
) -> list[Run]:
    """Make the records of a study that are missing or that this library would not make any more.

    A run that another study under `root` has made, the same to the seed and the clips, is copied from there. All files
    are written by this process, each whole or not at all; those who do the jobs need no folder in common.

    Args:
        name: one of `STUDIES`.
        clips: gives each row its "train", "val" and "test" splits; for several jobs one that can be pickled.
        root: the records go to `root/name`, those of paper scale to `root/name-paper`.
        keep_weights: also write the weights of the first seed's runs, beside the records.
        progress: show what is done and how long the rest will take.
        scale: "book", or "paper" for the models and recipes of the papers.
        seeds: of the runs; the study's own if not given.
        device: "auto", "cpu", "cuda" or "mps".
        jobs: how many processes share the runs, and the cores and GPUs; one, this one, if not given. With an executor
            how many trainings it is given at a time.
        executor: does the trainings, anything with the interface of `concurrent.futures`.

    Returns:
        The records, row by row. It can be interrupted at any moment; the next call goes on where it stopped.

    Raises:
        InputError: unknown study or scale, a process was killed, or see `train`.
    """
    study, folder = pick_study(name, scale), study_folder(root, name, scale)
    if int(os.environ.get("WORLD_SIZE", 1)) > 1:
        raise InputError("a study is not run by torchrun: let --jobs share its runs between processes")
    count = jobs or (AT_ONCE if executor else 1)
    agenda = Agenda(study, folder, clips, scale, seeds, device, keep_weights)
    script = not isinstance(clips, MakeFacesClips)  # other clips may be defined in the script that runs
    with start_workers(count, executor, script) as pool, Board(agenda, count, progress) as board:
        for job, result in do_jobs(pool, do_job, lambda: board.begins(agenda.next_job()), count):
            board.ended(job, agenda.finish(job, result))
    return agenda.runs()
