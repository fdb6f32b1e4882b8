"""Temporal persistency: clips of one video should look alike (arXiv 2104.14558; PAPER section 5).

One file a method; what they share stands beside them. A step has V = max(rho, 2) clips of each video, and every loss is
the mean over all V (V - 1) ordered pairs of them, as the paper says. (The study's public code takes the first clip as
the only query of MoCo, two clips at most in SimCLR and BYOL, and codes of the first two in SwAV.)

Shapes: V clips of a video, B videos of this rank, G of all ranks, F feature, D projection, Q queue, K prototypes.
"""
