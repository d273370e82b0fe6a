"""The device that a user names."""
import torch


def check_device(name: str) -> str:
    """Give back the name of a device that is there.

    Args:
        name: As torch has it: ``cpu``, ``cuda``, ``cuda:1``, ``mps``.

    Raises:
        ValueError: If torch knows no such device, or this machine has none.
    """
    there = ['cpu', *(f'cuda:{index}' for index in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        there.append('mps')
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f'--device {name}: torch knows no such device; this machine has {", ".join(there)}') from error
    if str(device) not in there and not (device.index is None and any(each.startswith(device.type) for each in there)):
        built = '' if device.type != 'cuda' or torch.version.cuda else \
            f', and torch {torch.__version__} is built without CUDA: install a CUDA build of it to use a GPU'
        raise ValueError(f'--device {name}: there is no such device; this machine has {", ".join(there)}{built}')
    return str(device)
