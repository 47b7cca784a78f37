from pathlib import Path

from lamella.runtimes.python import _drop_scripts


def test_a_pack_does_not_depend_on_where_lamella_is_installed(tmp_path: Path) -> None:
    """Console scripts and their digests go: their first line names the interpreter of Lamella itself."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/jp.py").write_text("#!/srv/lamella/.venv/bin/python\n")
    record = tmp_path / "jmespath-1.1.0.dist-info/RECORD"
    record.parent.mkdir()
    record.write_text("bin/jp.py,sha256=BGWC,1711\njmespath/__init__.py,sha256=eOfp,283\nbinary.py,,\n")
    _drop_scripts(tmp_path)
    assert not (tmp_path / "bin").exists()
    assert record.read_text() == "jmespath/__init__.py,sha256=eOfp,283\nbinary.py,,\n"
