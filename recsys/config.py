"""The configuration of a job: one typed class per section of the YAML file.

Importing this module is cheap (no torch), so that the command line can answer at once.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, field_validator, model_validator

from recsys.data.features import Feature
from recsys.data.filters import split_where
from recsys.data.guard import KINDS, OnErrorConfig
from recsys.data.stores import StoreConfig, refuse_credentials
from recsys.section import Layers, Name, Section


class RunConfig(Section):
    """Who this job is."""

    name: str = Field(description="Name of the run, in MLflow and on disk.")
    seed: int = Field(0, description="Seed of initial values, shuffling and dropout.")
    figures: bool = Field(True, description="Draw figures of the training at its end.")
    output: str | None = Field(None, description="Folder for checkpoints and results; `runs/NAME` when left out.")


class DataConfig(Section):
    """Where the logs are and how they are read."""

    train: list[str] = Field(
        description="Parquet files, globs, folders or URIs of the training split; `PATH where date >= 2022-05-01` filters its partitions."
    )
    valid: list[str] = Field(description="The split on which the best checkpoint is chosen.")
    test: list[str] = Field([], description="The split of the final report.")
    batch_size: PositiveInt = Field(4096, description="Rows a step, over all ranks together.")
    streams: PositiveInt = Field(
        8, description="Row streams that every batch is drawn from; ranks share them out, so results don't depend on their number."
    )
    window: PositiveInt = Field(32768, description="Rows of a stream that are shuffled together.")
    threads: PositiveInt = Field(2, description="Reader threads a rank.")
    prefetch: PositiveInt = Field(4, description="Batches a rank prepares ahead.")
    weight: str | None = Field(None, description="Column with a non-negative weight for each row; 1 when left out.")
    time: str | None = Field(
        None, description="Column of an impression's time, by which splits are checked; that of the log's `_schema.yaml` when left out."
    )
    statistics: str | None = Field(
        None, description="File with the training files' statistics, as another run left it, so that they aren't measured again."
    )
    store: StoreConfig = StoreConfig()
    timeout: PositiveFloat = Field(300.0, description="Seconds after which a read that hangs ends the job.")
    on_error: OnErrorConfig = OnErrorConfig()
    skip_budget: float = Field(0.01, ge=0, le=1, description="Largest share of a split's rows that may be skipped in an epoch.")

    @field_validator("on_error", mode="before")
    @classmethod
    def _one_policy_is_for_all_kinds(cls, value: Any) -> Any:
        return dict.fromkeys(KINDS, value) if isinstance(value, str) else value

    @field_validator("train", "valid", "test", mode="before")
    @classmethod
    def _one_path_is_a_list(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @field_validator("train", "valid", "test")
    @classmethod
    def _paths_can_be_read(cls, value: list[str]) -> list[str]:
        for path in value:
            refuse_credentials(path)
            split_where(path)
        return value

    @model_validator(mode="after")
    def _streams_divide_the_batch(self) -> DataConfig:
        if self.batch_size % self.streams:
            raise ValueError(f"batch_size {self.batch_size} must be a multiple of streams {self.streams}")
        return self


class CommonTask(Section):
    """What every task has."""

    name: Name
    space: str | None = Field(None, description="Column that must be 1 for a row to count, such as the click for a conversion.")
    weight: PositiveFloat = Field(1.0, description="Factor of the task's loss.")


class BinaryTask(CommonTask):
    """A yes/no label."""

    kind: Literal["binary"]
    label: str = Field(description="Column with 0, 1 or null (null: the row has no label).")


class DurationTask(CommonTask):
    """A time in seconds, heavy-tailed, with zeros."""

    kind: Literal["duration"]
    label: str = Field(description="Column with seconds, not below 0, or null (null: the row has no label).")
    loss: Literal["log_huber"] = "log_huber"
    delta: PositiveFloat = Field(2.0, description="Error of log(1 + seconds) at which Huber's loss turns from squared to linear.")
    threshold: PositiveFloat = Field(10.0, description="Seconds; the task's AUC is that of 'longer than this'.")


Task = Annotated[BinaryTask | DurationTask, Field(discriminator="kind")]


class Network(Section):
    """What every architecture has."""

    tower_layers: Layers = Field([64], description="Hidden layers of each task's tower.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout after every hidden layer.")


class MmoeConfig(Network):
    """Multi-gate mixture of experts (Ma et al., KDD 2018)."""

    architecture: Literal["mmoe"]
    experts: PositiveInt = 4
    expert_layers: Layers = Field([128, 64], min_length=1)


class PleConfig(Network):
    """Progressive layered extraction (Tang et al., RecSys 2020)."""

    architecture: Literal["ple"]
    levels: PositiveInt = 1
    shared_experts: PositiveInt = 2
    task_experts: PositiveInt = 2
    expert_layers: Layers = Field([128, 64], min_length=1)


class SharedBottomConfig(Network):
    """One network for all, then a tower a task (Caruana 1997)."""

    architecture: Literal["shared_bottom"]
    bottom_layers: Layers = Field([256, 128], min_length=1)


class SingleConfig(Network):
    """One model a task with nothing shared, tables included: the single-task reference."""

    architecture: Literal["single"]
    bottom_layers: Layers = Field([256, 128], min_length=1)


Model = Annotated[MmoeConfig | PleConfig | SharedBottomConfig | SingleConfig, Field(discriminator="architecture")]


class MtoConfig(BaseModel):
    """The strategy that weighs the tasks; every further key is an option of that strategy."""

    model_config = ConfigDict(extra="allow", frozen=True)

    strategy: str = Field("emtl", description="Name of the strategy.")
    scope: Literal["representation", "parameters"] = Field("representation", description="Where the tasks' gradients are compared.")
    every: PositiveInt = Field(1, description="Steps from one solve to the next; the steps between use its weights and compare nothing.")
    lagged: bool = Field(
        False, description="Use the weights of the step before, so that no backward waits for the other ranks; equal ones at first."
    )
    min_weight: float | None = Field(None, ge=0, le=1, description="Smallest weight; weights always sum to the number of tasks.")
    max_weight: float | None = Field(None, ge=1, description="Largest weight.")
    groups: list[list[Name]] | None = Field(
        None, description="Tasks of each group, every task in one; the strategy sees a group as one task, the sum of its tasks."
    )
    preferences: list[PositiveFloat] | None = Field(
        None, description="Factor of each task's (with `groups`: each group's) share of the update, relative to the others."
    )

    @property
    def options(self) -> dict[str, Any]:
        """The options of the strategy, as written."""
        return dict(self.__pydantic_extra__ or {})


class LearningRate(Section):
    """A learning rate and its course over the training."""

    learning_rate: PositiveFloat
    schedule: Literal["constant", "linear", "cosine"] = Field(
        "constant", description="Course after the warm-up, down to 0 at the last epoch's end."
    )
    warmup_steps: int = Field(0, ge=0, description="Steps over which the learning rate rises from 0.")


class DenseOptimizerConfig(LearningRate):
    """Adam for everything that is not an embedding table."""

    learning_rate: PositiveFloat = 1e-3
    weight_decay: float = Field(0.0, ge=0, description="Decoupled weight decay (AdamW).")
    clip_norm: PositiveFloat | None = Field(None, description="Largest norm of the dense gradient, after its reduction over ranks.")


class SparseOptimizerConfig(LearningRate):
    """Row-wise Adagrad, fused into the tables' backward."""

    learning_rate: PositiveFloat = 0.05
    epsilon: PositiveFloat = 1e-8


Sharding = Literal["table_wise", "row_wise", "column_wise", "auto"]


class ShardingConfig(Section):
    """How tables are laid over ranks."""

    default: Sharding = Field(
        "table_wise",
        description="Whole tables, each on one rank; rows or columns of each over all ranks; `auto`: by rows where a table doesn't fit or "
        "that should be faster, else whole.",
    )
    tables: dict[str, Sharding] = Field({}, description="Exceptions, by table name.")


class TrainConfig(Section):
    """The training loop."""

    epochs: PositiveInt = 1
    steps: PositiveInt | None = Field(None, description="Stop after this many steps, whatever the epoch.")
    dense: DenseOptimizerConfig = DenseOptimizerConfig()
    sparse: SparseOptimizerConfig = SparseOptimizerConfig()
    precision: Literal["float32", "bfloat16"] = "float32"
    sharding: ShardingConfig = ShardingConfig()
    checkpoint_every: PositiveInt | None = Field(None, description="Steps between checkpoints; at each evaluation when left out.")
    timeout: PositiveFloat = Field(
        600.0,
        description="Seconds a rank waits for others until it takes them for lost; more than rank 0 needs for statistics and metrics.",
    )


class EvaluateConfig(Section):
    """Evaluation on the valid split, the best checkpoint, early stopping."""

    every: PositiveInt | None = Field(None, description="Steps between evaluations; at each epoch's end when left out.")
    metric: str = Field("mean/auc", description="`TASK/METRIC` that names the best checkpoint; `mean/auc` is the mean over tasks.")
    patience: PositiveInt | None = Field(None, description="Evaluations without a better value before training stops.")
    keep_scores: bool = Field(False, description="Keep each test row's labels and scores in `scores/` of the run's folder.")
    batch_size: PositiveInt = Field(8192, description="Rows a step, over all ranks together.")
    before_training: bool = Field(
        True, description="With --warm-start: evaluate the model on data.train before it is trained on it, as `before/TASK/METRIC`."
    )


class TrackingConfig(Section):
    """MLflow."""

    enabled: bool = True
    uri: str = Field("", description="Server or database; MLFLOW_TRACKING_URI when left out, or else sqlite:///mlflow.db.")
    experiment: str = "recsys"
    log_model: bool = Field(True, description="Send the best checkpoint and what scoring needs, so that `runs:/ID` names it anywhere.")


class Config(Section):
    """Everything that defines a training job."""

    run: RunConfig
    data: DataConfig
    features: list[Feature] = Field(min_length=1)
    tasks: list[Task] = Field(min_length=1)
    model: Model
    mto: MtoConfig = MtoConfig()
    train: TrainConfig = TrainConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    tracking: TrackingConfig = TrackingConfig()

    @model_validator(mode="after")
    def _streams_divide_the_evaluation_batch(self) -> Config:
        if self.evaluate.batch_size % self.data.streams:
            raise ValueError(f"evaluate.batch_size {self.evaluate.batch_size} must be a multiple of data.streams {self.data.streams}")
        return self
