"""From other projects' checkpoints to ours."""
from .vmamba import Conversion, convert_state_dict, unwrap

__all__ = ['Conversion', 'convert_state_dict', 'unwrap']
