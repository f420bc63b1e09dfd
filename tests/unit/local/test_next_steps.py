"""What `python -m local` says to a person: where the page is, and how the command finds the stack."""

from local.__main__ import next_steps

ADDRESSES = {"api": "http://127.0.0.1:9000", "status": "http://127.0.0.1:9000/status"}


def test_the_person_at_the_terminal_sees_the_page_and_the_variable_that_names_the_stack() -> None:
    text = next_steps(ADDRESSES)
    assert "http://127.0.0.1:9000/status" in text
    assert "export AUDIENCE_SYNC_LOCAL=http://127.0.0.1:9000\n" in text
    assert max(map(len, text.splitlines())) < 80


def test_without_a_page_none_is_named() -> None:
    assert "page" not in next_steps({"api": "http://127.0.0.1:9000"})
