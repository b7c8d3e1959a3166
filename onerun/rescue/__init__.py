"""Rescuing an old file store (`./mlruns`): examine, back up, mend in a copy, migrate with MLflow's tool, prove."""

from onerun.rescue.repair import repair as repair
from onerun.rescue.rescuing import Rescue as Rescue
from onerun.rescue.rescuing import examine as examine
from onerun.rescue.rescuing import rescue as rescue
