"""Index of the source tree for the documentation: the purpose of each folder, and what each of its files owns.

Reads the first sentence of a module's docstring, or of the first comment of a script or a style of the pages. Imports
nothing of what it reads. Main thread.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from service.cli.dev.docs.markdown import code, first_sentence

ROOMS = ("model", "service", "loadtest", "docker", "deploy/ray")
PURPOSES = {  # of the folders that have no `__init__.py` to say it
    "deploy/ray": "Pheye on Ray: served by Ray Serve, captions in bulk by Ray Data; in no wheel.",
    "docker": "Programs that make the image: its lock file, its wheels, its last step.",
    "service/api/pages": "Pages that the service shows in a browser; they load nothing from elsewhere.",
    "service/api/pages/docs": "Page of the OpenAPI document, drawn by Swagger UI.",
    "service/api/pages/playground": "The playground: a page that asks about images, as any client does.",
    "service/api/pages/playground/answers": "Answers on the page: text, failure, timings, the request as code.",
    "service/api/pages/playground/ask": "From what is filled in to a request, and to a link that repeats it.",
    "service/api/pages/playground/image": "Images on the page: chosen, checked, made smaller, shown.",
    "service/api/pages/playground/kept": "Answers that the browser keeps, and their download.",
    "service/api/pages/playground/server": "Requests of the page to the server, and what it shows of it.",
    "service/api/pages/playground/styles": "Styles of the playground.",
}
_COMMENT = re.compile(r"(?://[^\n]*\n)+|/\*.*?\*/", re.DOTALL)
_MARKS = re.compile(r"^\s*(?://+|/?\*+)|\*/$", re.MULTILINE)


def index(root: Path) -> str:
    """Write a heading for each folder, the folder's purpose, and a list of its files.

    Raises:
        ValueError: a folder or a module does not say what it is for; the message names it.
    """
    return "\n\n".join(part for room in ROOMS for part in _folder(root, root / room))


def _folder(root: Path, folder: Path) -> Iterator[str]:
    """List the parts of the index about a folder and all below it; none if they hold no file that is listed."""
    files, inner = list[str](), list[str]()
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            inner += _folder(root, path)
        elif path.suffix in (".py", ".js", ".css") and path.name != "__init__.py":
            files.append(f"- {code(path.name)} - {_owns(path)}".removesuffix(" - "))
    if not files and not inner:
        return
    name = folder.relative_to(root).as_posix()
    yield f"{'##' if name in ROOMS else '###'} {code(name + '/')}"
    yield _purpose(folder, name)
    if files:
        yield "\n".join(files)
    yield from inner


def _purpose(folder: Path, name: str) -> str:
    init = folder / "__init__.py"
    if init.is_file():
        return _owns(init)
    if name not in PURPOSES:
        raise ValueError(f"{name}/: there is no __init__.py that says what it is for; add it to PURPOSES in {__name__}")
    return PURPOSES[name]


def _owns(path: Path) -> str:
    """Return what a file says of itself first; of a module that is a must."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        return first_comment(text)
    docstring = ast.get_docstring(ast.parse(text))
    if not docstring:
        raise ValueError(f"{path}: there is no docstring that says what it is for")
    return first_sentence(docstring)


def first_comment(text: str) -> str:
    r"""Return the first sentence of the comment that a script or a style begins with; empty if it begins with none.

    >>> first_comment("// One thought,\n// two lines. More.\nstart();\n"), first_comment("start(); // at once\n")
    ('One thought, two lines.', '')
    """
    comment = _COMMENT.match(text)
    return first_sentence(_MARKS.sub("", comment[0])) if comment else ""
