"""From other projects' checkpoints to ours."""
from .vmamba import Conversion, convert_file, convert_state_dict

__all__ = ['Conversion', 'convert_file', 'convert_state_dict']
