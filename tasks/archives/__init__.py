"""Archives of an MLflow store: backing up, restoring, and rescuing old file stores."""

from domain.archives import Archive as Archive
from domain.archives import Restored as Restored
from domain.archives import Selection as Selection
from tasks.archives.backup import back_up as back_up
from tasks.archives.restore import restore as restore
