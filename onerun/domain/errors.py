"""What can go wrong while a training runs.

    OnerunError                     exit code 1, carries the stage's own message
    ├── TerminalError               trying again gives the same: do not retry
    │   ├── DataError               the table cannot be trained on as asked
    │   ├── ExpectationsBroken      a critical expectation does not hold
    │   ├── TrainingFailed          the training program failed by itself
    │   ├── ModelUnusable           the training left no usable model
    │   ├── AliasMoved              another process moved the alias meanwhile
    │   ├── ArchiveDamaged          an archive is not what was written
    │   ├── StoreUnknown            an archive's records have columns that this MLflow does not know
    │   └── Superseded              another process owns the run now
    └── TransientError              trying again can help
        ├── StoreUnreachable        tracking server or object store does not answer
        ├── AliasBusy               other moves of the alias did not come to an end
        └── TrainingKilled          the training process was killed or timed out

Mistakes in recipe, profile, arguments and credentials are `onerun.config.mistakes.Mistakes`, exit
code 2. All of them take plain positional arguments, so that they survive pickling.
"""


class OnerunError(Exception):
    """Base of the family; `retryable`: whether trying again can help."""

    retryable = False
    exit_code = 1


class TerminalError(OnerunError):
    """Trying again gives the same result."""


class DataError(TerminalError):
    """The table cannot be trained on as asked."""


class ExpectationsBroken(TerminalError):
    """A critical expectation does not hold."""


class TrainingFailed(TerminalError):
    """The training program failed by itself; the message carries its last lines."""


class ModelUnusable(TerminalError):
    """The training left no usable model."""


class AliasMoved(TerminalError):
    """Another process moved the alias meanwhile: a decision based on the old holder is stale."""


class ArchiveDamaged(TerminalError):
    """An archive is not what was written: cut off, changed, of another format, or not an archive at
    all.
    """


class StoreUnknown(TerminalError):
    """An archive's records have columns that the installed MLflow does not know; nothing of them is
    written.
    """


class Superseded(TerminalError):
    """Another process works on the same flow run and has opened the run since: this one stops."""


class TransientError(OnerunError):
    """Trying again can help."""

    retryable = True


class StoreUnreachable(TransientError):
    """A tracking server or an object store does not answer."""


class AliasBusy(TransientError):
    """Other moves of the same alias did not come to an end."""


class TrainingKilled(TransientError):
    """The training process was killed by a signal or ran out of its time."""


class Terminated(SystemExit):
    """The process was asked to end by SIGTERM; `code` is its exit code."""

    def __str__(self) -> str:
        return "SIGTERM"
