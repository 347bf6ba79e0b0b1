"""Text that came from outside, made harmless for each place it is shown in."""

from __future__ import annotations

import re
import unicodedata

_MARKDOWN = re.compile(r"[\\`*<>#|~$&]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|\](?=[(\[:])")
"""What would be markup; an underscore inside a word and a bracket that starts no link read as they are."""
_LINK = re.compile(
    r"(?:[A-Za-z][A-Za-z0-9+.-]*://|(?<![A-Za-z0-9])(?:www\.|mailto:|xmpp:))\S*|[A-Za-z0-9._+-]+@[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)+",
    re.IGNORECASE,
)
"""What renderers make a link of without being told: addresses of pages and of people."""
_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "{''}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "σ": r"$\sigma$",
    "α": r"$\alpha$",
}


def visible(text: str) -> str:
    """Return `text` on one line: control, bidirectional-override and lone surrogate characters as escapes."""
    return "".join(
        symbol.encode("unicode_escape").decode("ascii")
        if unicodedata.category(symbol) in ("Cc", "Cf", "Cs")
        else symbol
        for symbol in text
    )


def printable(text: str) -> str:
    """Return a text of several lines like `visible`, with its line breaks and tabs kept."""
    return "\n".join("\t".join(visible(part) for part in line.split("\t")) for line in text.splitlines())


def markdown(text: str) -> str:
    """Return `text` as it reads in Markdown, also inside a table cell."""
    shown, parts, at = visible(text), [], 0
    for link in _LINK.finditer(shown):
        # A backslash keeps some renderers from making a link of it, but not all; in code every one leaves it alone.
        parts += [_MARKDOWN.sub(r"\\\g<0>", shown[at : link.start()]), markdown_code(link[0])]
        at = link.end()
    return "".join(parts) + _MARKDOWN.sub(r"\\\g<0>", shown[at:])


def markdown_code(text: str) -> str:
    """Return `text` as inline code in Markdown; a pipe is escaped, as GitHub's tables want it."""
    shown = visible(text).replace("|", "\\|")
    longest = max((len(run) for run in re.findall(r"`+", shown)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if shown.startswith("`") or shown.endswith("`") else ""
    return f"{fence}{pad}{shown}{pad}{fence}"


def latex(text: str) -> str:
    """Return `text` with every character that LaTeX would take for a command escaped."""
    return "".join(_LATEX.get(symbol, symbol) for symbol in visible(text))
