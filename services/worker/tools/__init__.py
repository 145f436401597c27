"""The tools that agents call, each behind the same contract."""
