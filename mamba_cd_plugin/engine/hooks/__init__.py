from .change_visualization_hook import ChangeVisualizationHook
from .curves_hook import CurvesHook
from .guard_hooks import CollapsedPredictionError, CollapseGuardHook, NonFiniteLossError, NonFiniteLossGuardHook
from .loading_hooks import LoadedWeightsHook, ResumeHook, SharedBuffersHook
from .plateau_stopping_hook import PlateauStoppingHook
from .resumable_checkpoint_hook import ResumableCheckpointHook
from .run_summary_hook import RunSummaryHook
from .time_budget_hook import TimeBudgetHook

__all__ = [
    'ChangeVisualizationHook', 'CollapseGuardHook', 'CollapsedPredictionError', 'CurvesHook', 'LoadedWeightsHook',
    'NonFiniteLossError', 'NonFiniteLossGuardHook', 'PlateauStoppingHook', 'ResumableCheckpointHook', 'ResumeHook',
    'RunSummaryHook', 'SharedBuffersHook', 'TimeBudgetHook'
]
