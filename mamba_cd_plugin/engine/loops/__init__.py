from .protocol_test_loop import ProtocolTestLoop

__all__ = ['ProtocolTestLoop']
