"""Names that leave the process: tags, metrics, artifact paths. They are an API; changing one is a breaking change.

Those of the series that Prometheus scrapes stand beside their labels and meaning, in onerun/domain/monitoring/series.py.
"""

STAGES = ("ingest", "validate", "train", "evaluate", "register", "promote")

# tags of a run
TAG_FLOW_RUN_ID = "onerun.flow_run_id"
TAG_TRAINING_ID = "onerun.training_id"  # of a training without Prefect
TAG_FLOW_RUN_URL = "onerun.flow_run_url"
TAG_ATTEMPT = "onerun.attempt"
TAG_RECIPE_DIGEST = "onerun.recipe_digest"
TAG_STAGE = "onerun.stage.{stage}"  # the stage's reference as JSON, written when the stage is done
TAG_HOST = "onerun.host"
TAG_PID = "onerun.pid"
TAG_PROCESS = "onerun.process"  # JSON: what tells the owner's process from others of its number
TAG_RUN_COUNT = "onerun.run_count"  # which of Prefect's tries opened the run last
TAG_HEARTBEAT = "onerun.heartbeat"  # when the owner was last heard of, by its own clock
TAG_RECONCILE = "onerun.reconcile"  # `never`: the reconciler leaves the run alone
TAG_RECONCILED = (
    "onerun.reconciled.{what}"  # at, by, why, from: set by the reconciler on a run that it ended
)
TAG_SNAPSHOT_DIGEST = "onerun.snapshot_digest"
TAG_GIT_COMMIT = "mlflow.source.git.commit"
TAG_FAILURE = "onerun.failure"
TAG_CONFLICT = "{key}:attempt{attempt}"  # MLflow takes no @ in a key
TAG_QUARANTINE = (
    "onerun.quarantine"  # a policy with action: quarantine would delete it; who and since when
)

# labels of a flow run at Prefect
LABEL_PROCESS = "onerun.process"  # as the run's tag: the process that works on the flow run
LABEL_RUN_COUNT = "onerun.run_count"

# tags of a model version
TAG_VERSION_RUN_ID = "onerun.run_id"
TAG_VERSION_METRIC = "onerun.metric.{metric}"  # the primary metric on the test part
TAG_APPROVAL = "onerun.approval.{alias}"  # who approved or refused it, and why
TAG_PREVIOUS = "onerun.previous.{alias}"  # the version that held the alias before this one
TAG_REPLACED_BY = "onerun.replaced_by.{alias}"  # the version that took the alias from this one

# tags of a registered model: the ledger, one tag per alias move, so that writers never overwrite each other
TAG_MOVE = "onerun.move.{at}-{suffix}"
PREFIX_MOVE = "onerun.move."

# artifact paths of a run
ARTIFACT_RECIPE = "recipe.yaml"
ARTIFACT_PROFILE = "profile.yaml"
ARTIFACT_REPORT = "report.html"
ARTIFACT_PLOTS = "plots"
ARTIFACT_VALIDATION = "validation"
ARTIFACT_SNAPSHOT = "snapshot.json"
ARTIFACT_EVALUATION = "evaluation.json"
ARTIFACT_REPRODUCE = "reproduce"  # git diff and dependency versions

# metrics of a run: test metrics carry no prefix, everything else does
PREFIX_BASELINE = "baseline_"
PREFIX_CHAMPION = "champion_"
PREFIX_STAGE_SECONDS = "seconds_"

# tag of an experiment whose id the database behind it could not take: the id it had
TAG_ARCHIVED_EXPERIMENT = "onerun.archived.experiment_id"

# tag of an experiment, a run or a logged model that was rebuilt from what was left of it: what was wrong
TAG_RESCUED = "onerun.rescued"
# labels of a flow run
LABEL_LEASE = "onerun.lease"  # of its model's concurrency slot
LABEL_TURN = "onerun.turn"  # the concurrency limit whose slot it holds, or held last

# work pool of a Prefect server
WORK_POOL = (
    "onerun"  # where prefect.yaml's deployments go: one name, whatever kind of workers it has
)
