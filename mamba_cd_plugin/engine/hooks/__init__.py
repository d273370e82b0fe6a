from .change_visualization_hook import ChangeVisualizationHook
from .collapse_guard_hook import CollapsedPredictionError, CollapseGuardHook
from .curves_hook import CurvesHook
from .loaded_weights_hook import LoadedWeightsHook
from .loss_ramp_hook import LossRampHook
from .nonfinite_loss_guard_hook import NonFiniteLossError, NonFiniteLossGuardHook
from .plateau_stopping_hook import PlateauStoppingHook
from .resumable_checkpoint_hook import ResumableCheckpointHook
from .resume_hook import ResumeHook
from .run_summary_hook import RunSummaryHook
from .time_budget_hook import TimeBudgetHook

__all__ = [
    'ChangeVisualizationHook', 'CollapseGuardHook', 'CollapsedPredictionError', 'CurvesHook', 'LoadedWeightsHook',
    'LossRampHook', 'NonFiniteLossError', 'NonFiniteLossGuardHook', 'PlateauStoppingHook', 'ResumableCheckpointHook',
    'ResumeHook', 'RunSummaryHook', 'TimeBudgetHook'
]
