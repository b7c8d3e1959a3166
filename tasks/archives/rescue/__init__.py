"""Rescuing an old file store (`./mlruns`): examine, back up, mend in a copy, migrate with MLflow's tool, prove."""

from tasks.archives.rescue.rescuing import Rescue as Rescue
from tasks.archives.rescue.rescuing import examine as examine
from tasks.archives.rescue.rescuing import rescue as rescue
