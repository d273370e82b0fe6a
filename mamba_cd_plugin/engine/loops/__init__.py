from .loops import CDIterTrainLoop, CDTestLoop, CDTrainLoop, CDValLoop
from .protocol_test_loop import ProtocolTestLoop

__all__ = ['CDIterTrainLoop', 'CDTestLoop', 'CDTrainLoop', 'CDValLoop', 'ProtocolTestLoop']
