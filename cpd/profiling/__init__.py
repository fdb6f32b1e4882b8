"""Where the time of a training step goes."""

from cpd.profiling.measure import profile
from cpd.profiling.record import PHASES, Profile, describe, phases, verdict

__all__ = ["PHASES", "Profile", "describe", "phases", "profile", "verdict"]
