"""The demo agent says what it is."""

from __future__ import annotations

from services.local.demo import definition


def test_without_a_key_it_is_scripted_and_says_so() -> None:
    agent = definition(on_claude=False)
    assert agent["model"] == "scripted"
    assert "scripted" in agent["description"]
    assert "ANTHROPIC_API_KEY" in agent["description"]


def test_with_a_key_it_runs_on_claude_and_says_so() -> None:
    agent = definition(on_claude=True)
    assert "Claude" in agent["description"]
    assert "modelSettings" not in agent
