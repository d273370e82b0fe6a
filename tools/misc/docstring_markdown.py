"""Extension of the documentation's build (mkdocs.yml): docstrings in Python's habits become Markdown."""
import re
from typing import Any

from griffe import Extension, Object

ROLE = re.compile(r':(?:class|meth|func|mod|attr|data|exc):`~?\.*([^`]+)`')
LITERAL_BLOCK = re.compile(r'^[ \t]*::[ \t]*\n', re.MULTILINE)  # what follows is indented, which is enough


def to_markdown(text: str) -> str:
    """Roles become plain code, and a lone ``::`` goes."""
    return LITERAL_BLOCK.sub('', ROLE.sub(r'`\1`', text))


class DocstringMarkdown(Extension):
    """Converts each docstring as it is read."""

    def on_instance(self, *, obj: Object, **kwargs: Any) -> None:
        """Called for every module, class, function and attribute."""
        if obj.docstring:
            obj.docstring.value = to_markdown(obj.docstring.value)
