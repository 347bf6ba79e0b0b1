"""Reading YAML into a tree with positions."""

from __future__ import annotations

import pytest

from ablate.study.problems import Problems
from ablate.study.reading.yaml_tree import DEEPEST, Items, Leaf, Node, Table, read_tree, source_of
from tests.sentences import SENTENCES


def read(text: str, *, shift: int = 0) -> tuple[Node | None, Problems]:
    problems = Problems()
    return read_tree(text[shift:], source_of("s.yaml", text), problems, shift=shift), problems


def only_problem(text: str, *, shift: int = 0) -> tuple[str, int, int, int]:
    _, problems = read(text, shift=shift)
    (problem,) = problems.errors
    return problem.message, problem.line, problem.column, problem.length


def test_keys_and_values_know_where_they_stand() -> None:
    """Lines and columns are 1-based and lengths are those of the text as written, quotes included."""
    root, problems = read("a: 1\nbcd:\n  'e f': [x, yy]\n")
    assert isinstance(root, Table)
    assert not problems.errors
    inner = root.get("bcd")
    assert isinstance(inner, Table)
    ((key, value),) = inner.entries
    assert (key.text, key.plain, key.mark.line, key.mark.column, key.mark.length) == ("e f", False, 3, 3, 5)
    assert isinstance(value, Items)
    assert (value.mark.line, value.mark.column, value.mark.length) == (3, 10, 7)
    assert [(item.text, item.mark.column) for item in value.items if isinstance(item, Leaf)] == [("x", 11), ("yy", 14)]


@pytest.mark.parametrize("word", ["off", "010", "12:30", "1e-3", "~", "2026-11-23", "0x1F"])
def test_words_stay_as_they_were_written(word: str) -> None:
    """Nothing is guessed: YAML 1.1 would make false, 8, 750, a text, nothing, a date and 31 of these."""
    root, _ = read(f"a: {word}")
    assert isinstance(root, Table)
    value = root.get("a")
    assert isinstance(value, Leaf)
    assert (value.text, value.plain) == (word, True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\nb: 2\na: 3\n", ("duplicate key 'a'", 3, 1, 1)),
        ("a: {x: 1, x: 2}", ("duplicate key 'x'", 1, 11, 1)),
        ("a:\n\t- b", ("a tab in the indentation", 2, 1, 1)),
        ("question: Does it: matter?", ("not valid YAML: mapping values are not allowed here", 1, 18, 1)),
        ("a: @x", ("not valid YAML: found character '@' that cannot start any token", 1, 4, 1)),
        ("a: [1, 2", ("not valid YAML: expected ',' or ']', but got '<stream end>'", 1, 9, 1)),
        ("a: !!python/name:os.system x", ("YAML tags (a word after '!') are not supported in a study file", 1, 4, 25)),
        ("a: !local [1]", ("YAML tags (a word after '!') are not supported in a study file", 1, 4, 8)),
        ("a: 1\n---\nb: 2", ("a study file must be one YAML document", 2, 1, 3)),
        ("[a]: 1", ("a key must be a name, not a list or a mapping", 1, 1, 3)),
        (
            "x: &b {a: 1}\ny:\n  <<: *b",
            ("merge keys (<<) are not supported: an arm states only what it changes", 3, 3, 2),
        ),
        ("a: *nobody", ("unknown alias *nobody", 1, 4, 7)),
        ("a: &a [*a]", ("unknown alias *a", 1, 8, 2)),
        ("ab: \x07", ("unprintable character U+0007", 1, 5, 1)),
        ("a: 1\r\nb: \x00", ("unprintable character U+0000", 2, 4, 1)),
        ('a: "\\ud800"', ("half of a surrogate pair is not a character", 1, 4, 8)),
    ],
)
def test_bad_yaml_is_one_problem_at_its_place(text: str, expected: tuple[str, int, int, int]) -> None:
    assert only_problem(text) == expected


def test_a_duplicate_key_names_the_first() -> None:
    _, problems = read("a: 1\nb: 2\na: 3\n")
    assert problems.errors[0].note == "first given in line 1"


def test_text_with_a_colon_is_told_to_take_quotes() -> None:
    _, problems = read("question: Does it: matter?")
    assert problems.errors[0].suggestion == "a text with ': ' in it needs quotes"


@pytest.mark.parametrize("text", ["[" * 50_000, "- " * 50_000, "{a: " * 50_000, "? " * 5_000])
def test_deep_nesting_is_refused_without_recursion(text: str) -> None:
    _, problems = read(text)
    assert [problem.message for problem in problems.errors] == [f"nested more than {DEEPEST} levels deep"]


def test_an_anchor_bomb_stays_small() -> None:
    """Ten aliases of ten aliases of ... are references: nothing is multiplied out."""
    lines = ["a0: &a0 [x]"]
    lines += [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]" for level in range(1, 40)]
    root, problems = read("\n".join(lines))
    assert isinstance(root, Table)
    assert not problems.errors


def test_an_alias_stands_where_it_is_used() -> None:
    root, _ = read("a: &x 5\nb: *x")
    assert isinstance(root, Table)
    value = root.get("b")
    assert isinstance(value, Leaf)
    assert (value.text, value.mark.line, value.mark.column, value.mark.length) == ("5", 2, 4, 2)


@pytest.mark.parametrize("text", ['a: "\\UFFFFFFFF"', f"%YAML 1.{'1' * 5000}\n---\na: 1"])
def test_numbers_that_break_the_scanner_are_a_problem(text: str) -> None:
    message, line, column, _ = only_problem(text)
    assert message.startswith("not valid YAML: ")
    assert (line, column) == (1, 1)


def test_a_very_long_text_is_refused() -> None:
    assert only_problem("a" * 2_000_001)[0] == SENTENCES["very long text refused"]


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n", "\n\n"])
def test_an_empty_document_is_an_empty_leaf(text: str) -> None:
    root, problems = read(text)
    assert isinstance(root, Leaf)
    assert root.is_null
    assert not problems.errors


def test_shift_moves_the_columns_of_the_first_line_only() -> None:
    """An override's value is parsed alone; its positions are those in the whole override."""
    root, _ = read("key={a: [1]}", shift=4)
    assert isinstance(root, Table)
    assert (root.mark.column, root.mark.length, root.entries[0][0].mark.column) == (5, 8, 6)
    assert only_problem("k=[1, \x07]", shift=2)[1:3] == (1, 7)


def test_lines_are_counted_as_yaml_counts_them() -> None:
    """A lone carriage return, NEL and the Unicode separators end a line in YAML 1.1."""
    root, _ = read("a: 1\rb: 2\x85c: 3\u2028d: 4")
    assert isinstance(root, Table)
    assert [(key.text, key.mark.line, key.mark.column) for key, _ in root.entries] == [
        ("a", 1, 1),
        ("b", 2, 1),
        ("c", 3, 1),
        ("d", 4, 1),
    ]


def test_put_keeps_the_place_of_a_key() -> None:
    root, _ = read("a: 1\nb: 2")
    assert isinstance(root, Table)
    key = root.key("a")
    assert key is not None
    changed = root.put(key, Leaf("9", plain=True, mark=key.mark))
    assert [(name.text, value.text) for name, value in changed.entries if isinstance(value, Leaf)] == [
        ("a", "9"),
        ("b", "2"),
    ]
