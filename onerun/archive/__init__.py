"""Archives of an MLflow store: backing up, restoring, and rescuing old file stores."""

from onerun.archive.backup import back_up as back_up
from onerun.archive.folders import restore_folders as restore_folders
from onerun.archive.repository import holds_folders as holds_folders
from onerun.archive.restore import restore as restore
from onerun.archive.verify import read_back as read_back
from onerun.domain.archives import Archive as Archive
from onerun.domain.archives import Restored as Restored
from onerun.domain.archives import Selection as Selection
