"""Where the configs, the tools and the model index are: inside an installed package, or in the checkout.

setup.py puts them into ``mamba_cd_plugin/.mim`` of a wheel, as mmseg does, so that ``mim`` finds them too. An editable
install reads those of the checkout. Nothing here imports torch or mmengine: ``mamba-cd configs`` answers at once.
"""
import ast
import difflib
import re
import shutil
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
# Folders of configs/ whose files are no models of their own.
PARTS = '_base_'


def home() -> Path:
    """The folder with ``configs`` and ``tools``.

    Raises:
        FileNotFoundError: If neither the package nor its parent folder has them.
    """
    for folder in (PACKAGE / '.mim', PACKAGE.parent):
        if (folder / 'configs' / PARTS).is_dir():
            return folder
    raise FileNotFoundError(f'{PACKAGE} has no configs: neither in .mim, where a wheel has them, nor beside it, where '
                            'a checkout has them. Install the package again')


def configs_dir() -> Path:
    """The folder of the configs."""
    return home() / 'configs'


def tools_dir() -> Path:
    """The folder of the tools."""
    return home() / 'tools'


def list_configs() -> dict[str, Path]:
    """Every config that can be trained, by its name: the path below ``configs`` without ``.py``."""
    root = configs_dir()
    paths = sorted(root.rglob('*.py'), key=lambda path: (len(path.parts), path))
    return {path.relative_to(root).with_suffix('').as_posix(): path for path in paths
            if PARTS not in path.relative_to(root).parts}


def find_config(name: str | Path) -> Path:
    """The file of a config that is named by its path, or by its name alone.

    Args:
        name: A file, such as ``configs/cdmamba_v8_levircd.py``; or a name, such as ``cdmamba_v8_levircd``,
            ``runs/103255_v6_1`` or, where no other folder has one of that name, ``103255_v6_1``.

    Raises:
        FileNotFoundError: If there is no such config; the most similar names are in the message.
        ValueError: If several folders have a config of that name.
    """
    path = Path(name)
    if path.is_file():
        return path
    known = list_configs()
    short = path.as_posix()[:-len('.py')] if path.suffix == '.py' else path.as_posix()
    short = short[len('configs/'):] if short.startswith('configs/') else short
    if short in known:
        return known[short]
    same = [key for key in known if key.rsplit('/', 1)[-1] == short]
    if len(same) == 1:
        return known[same[0]]
    if same:
        raise ValueError(f'config {name}: there are several of that name: {", ".join(same)}')
    # A path that somebody typed in full is meant: other names would only hide that it is not there.
    similar = difflib.get_close_matches(short.rsplit('/', 1)[-1], known, n=3)
    hint = f'similar names: {", ".join(similar)}' if similar else '`mamba-cd configs` lists those of this project'
    raise FileNotFoundError(f'config {name} does not exist; {hint}')


def describe_config(path: Path) -> str:
    """The comment at the top of a config, up to its first full stop or semicolon."""
    comment = ' '.join(re.findall(r'^# ?(.*)$', path.read_text(encoding='utf-8').split('_base_')[0], flags=re.M))
    return re.split(r'[.;](?: |$)', comment)[0]


def bases_of(path: Path) -> list[Path]:
    """The files that a config names in ``_base_``, and those that these name, each once."""
    found: list[Path] = []
    for statement in ast.parse(path.read_text(encoding='utf-8')).body:
        if isinstance(statement, ast.Assign) and getattr(statement.targets[0], 'id', '') == '_base_':
            names = ast.literal_eval(statement.value)
            for name in [names] if isinstance(names, str) else names:
                base = (path.parent / name).resolve()
                found += [base, *bases_of(base)]
    return list(dict.fromkeys(found))


def copy_config(name: str | Path, target: Path) -> list[Path]:
    """Copy a config, and everything that it is based on, into a folder, so that it can be edited and loaded there.

    The folder becomes a small ``configs``: each file keeps its place below it, so that every ``_base_`` is found.

    Args:
        name: See :func:`find_config`.
        target: The folder. What lies there already with the same content stays.

    Returns:
        The files in the folder; the config itself first.

    Raises:
        FileExistsError: If a file of the same name and another content lies there; nothing is written then.
        ValueError: If the config is not one of this project.
    """
    source, root = find_config(name).resolve(), configs_dir().resolve()
    if root not in source.parents:
        raise ValueError(f'config {source} is not under {root}; only the configs of this project are copied')
    copies = {file: target / file.relative_to(root) for file in [source, *bases_of(source)]}
    for file, copy in copies.items():
        if copy.exists() and copy.read_bytes() != file.read_bytes():
            raise FileExistsError(f'{copy} exists and differs from {file}; choose another folder, or move it away')
    for file, copy in copies.items():
        if not copy.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            try:
                shutil.copyfile(file, copy)
            except OSError:  # a full disk; half a config would be run
                copy.unlink(missing_ok=True)
                raise
    return list(copies.values())
