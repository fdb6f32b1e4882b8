"""Where the time of a training step goes. `cpd.profiling.measure` measures; what is imported here needs no torch."""

from cpd.profiling.record import PHASES, STARVED, Profile, describe, phases, verdict

__all__ = ["PHASES", "STARVED", "Profile", "describe", "phases", "verdict"]
