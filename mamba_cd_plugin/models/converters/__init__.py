"""From other projects' checkpoints to ours."""
from .changemamba import convert_change_mamba
from .vmamba import Conversion, convert_state_dict, unwrap

__all__ = ['Conversion', 'convert_change_mamba', 'convert_state_dict', 'unwrap']
