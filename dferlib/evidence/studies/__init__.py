"""Studies: runs that answer one question together, made by one command and kept as records.

`declared` says what is compared, `running` makes the records, `report` says what they cost and what came out.
"""

from dferlib.evidence.studies.declared import STUDIES, Row, Study
from dferlib.evidence.studies.running import MakeFacesClips, make_again, run_study, train_and_record

__all__ = ["STUDIES", "MakeFacesClips", "Row", "Study", "make_again", "run_study", "train_and_record"]
