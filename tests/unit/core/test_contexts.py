"""The one line that `flagctl context use` writes: everything else of the file stays."""

import stat
import tomllib
from pathlib import Path

import pytest

from core.contexts import Context, list_contexts, use
from core.errors import InvalidInputError, NotFoundError

TABLES = '[contexts.one] # first\norg = "one"\n\n[contexts.two]\ntoken = "secret"\n'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (f"# mine\n{TABLES}", f'context = "two"\n# mine\n{TABLES}'),
        (f'context = "one" # why\n{TABLES}', f'context = "two" # why\n{TABLES}'),
        (
            f"# a\n  context='one'\nenv = 'x'\n{TABLES}",
            f"# a\n  context=\"two\"\nenv = 'x'\n{TABLES}",
        ),
        (f'"context" = "one"\n{TABLES}', f'"context" = "two"\n{TABLES}'),
        (f'env = """\n[x]\n"""\n{TABLES}', f'context = "two"\nenv = """\n[x]\n"""\n{TABLES}'),
        (
            TABLES.replace("\n", "\r\n"),
            'context = "two"\r\n' + TABLES.replace("\n", "\r\n"),
        ),
        (f'{TABLES}context = "in a table"', f'context = "two"\n{TABLES}context = "in a table"'),
    ],
)
def test_one_line_changes(path: Path, before: str, after: str) -> None:
    path.write_bytes(before.encode())
    assert use([path], "two") == [path]
    assert path.read_bytes().decode() == after
    assert tomllib.loads(after)["context"] == "two"
    assert use([path], "two") == []


@pytest.mark.parametrize(
    "text",
    [
        f'context = """one"""\n{TABLES}',
        f'env = """\ncontext = "one"\n"""\ncontext = "one"\n{TABLES}',
        f'env = """\n[x]\n"""\ncontext = "one"\n{TABLES}',
    ],
)
def test_what_is_not_surely_right_is_left_alone(path: Path, text: str) -> None:
    path.write_text(text)
    with pytest.raises(InvalidInputError, match="not changed by machine") as caught:
        use([path], "two")
    assert 'context = "two"' in caught.value.hint
    assert path.read_text() == text
    assert list(path.parent.iterdir()) == [path]


def test_the_file_is_ours_alone_and_a_link_stays_one(tmp_path: Path) -> None:
    real, link = tmp_path / "dotfiles.toml", tmp_path / "config.toml"
    real.write_text(TABLES)
    real.chmod(0o644)
    link.symlink_to(real)
    use([link], "one")
    assert link.is_symlink()
    assert stat.S_IMODE(real.stat().st_mode) == 0o600
    assert sorted(tmp_path.iterdir()) == [link, real]


def test_each_file_that_has_it_is_written(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("project.toml", "user.toml", "other.toml")]
    for file in files[:2]:
        file.write_text(TABLES)
    files[2].write_text("[contexts.three]\n")
    assert use(files, "one") == files[:2]
    assert [(c.name, c.in_use) for c in list_contexts(files, None)] == [
        *(("one", True), ("two", False)) * 2,
        ("three", False),
    ]
    assert use(files, "three") == files[2:]


def test_what_is_listed_has_no_values(path: Path) -> None:
    path.write_text(f"{TABLES}[contexts\n")
    with pytest.raises(InvalidInputError, match="not valid TOML"):
        list_contexts([path], None)
    path.write_text(f"contexts.three = 3\n{TABLES.replace('[contexts.', '[other.')}")
    assert list_contexts([path], None) == []
    path.write_text(TABLES)
    assert list_contexts([path], "two") == [
        Context("one", str(path), False, ["org"]),
        Context("two", str(path), True, ["token"]),
    ]


def test_a_context_that_is_not_there(path: Path) -> None:
    path.write_text(TABLES)
    with pytest.raises(NotFoundError, match="there is no context 'tw'") as caught:
        use([path], "tw")
    assert caught.value.hint == "did you mean two?"
    path.write_bytes(b"\xff")
    with pytest.raises(InvalidInputError, match="is not UTF-8 text"):
        use([path], "two")
