"""Says which links of the documentation lead nowhere: to a file, or a heading in it, that is not there."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

_LINK = re.compile(r"!?\[[^\]]*\]\(<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\)")
_HEADING = re.compile(r"^#{1,6} +(.+?)\s*#*$", re.MULTILINE)
_CODE = re.compile(r"^(```|~~~).*?^\1|`[^`\n]*`", re.MULTILINE | re.DOTALL)


def anchors(text: str) -> set[str]:
    """Names that GitHub gives to the headings of a page."""
    found: set[str] = set()
    for heading in _HEADING.findall(re.sub(r"^(```|~~~).*?^\1", "", text, flags=re.MULTILINE | re.DOTALL)):
        name = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        number = 0
        while (candidate := f"{name}-{number}" if number else name) in found:
            number += 1
        found.add(candidate)
    return found


def broken_links(page: Path, root: Path) -> Iterator[str]:
    """Targets of a page that do not exist."""
    for target in _LINK.findall(_CODE.sub("", page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z][a-z0-9+.-]*:", target):
            continue  # another site: its state must not decide about ours
        path, _, anchor = target.partition("#")
        base = root if path.startswith("/") else page.parent
        file = (base / unquote(path).lstrip("/")).resolve() if path else page
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in anchors(file.read_text("utf-8"))):
            yield target


def main() -> int:
    """Check all pages that git knows, or would know."""
    root = Path(__file__).resolve().parent.parent
    command = ("git", "-C", str(root), "ls-files", "--cached", "--others", "--exclude-standard", "-z", "*.md")
    names = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split("\0")
    status = 0
    for page in (root / name for name in sorted(set(names)) if name and (root / name).exists()):
        for target in broken_links(page, root):
            print(f"{page.relative_to(root)}: link to {target} leads nowhere", file=sys.stderr)
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
