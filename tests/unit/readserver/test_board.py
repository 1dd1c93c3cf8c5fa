"""Memory that workers share."""

from readserver.board import _HEADER, Board


def test_half_of_what_is_written_is_nothing() -> None:
    board = Board(2)
    board.write(1, b"x" * 100)
    assert board.read(1) == b"x" * 100
    board._memory[_HEADER.size * 2 + 1_048_576] = 0
    assert board.read(1) is None
    board.write(0, b"x" * 2_000_000)
    assert board.read(0) is None
