"""The models that agents think with, each provider behind the same contract."""
