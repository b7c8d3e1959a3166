"""The rescue of an old file store (`./mlruns`) into a database.

Examine, back up, repair in a copy, migrate with MLflow's tool, prove.
"""

from onerun.rescue.repair import repair as repair
from onerun.rescue.workflow import Rescue as Rescue
from onerun.rescue.workflow import examine as examine
from onerun.rescue.workflow import rescue as rescue
