"""Studies: runs that answer one question together, made by one command and kept as records.

`declared` says what is compared and `clips` on what; `agenda` knows what is to be done next, `job` is one training,
`rates` chooses learning rates, `matching` says which records are still wanted; `running` lets any executor do it, and
`board` shows it. `again` makes a record a second time, `report` says what studies cost and what came out.
"""

from dferlib.evidence.studies.again import make_again
from dferlib.evidence.studies.clips import MakeFacesClips
from dferlib.evidence.studies.declared import STUDIES, Row, Study
from dferlib.evidence.studies.job import train_and_record
from dferlib.evidence.studies.running import run_study

__all__ = ["STUDIES", "MakeFacesClips", "Row", "Study", "make_again", "run_study", "train_and_record"]
