# What a job asks of a cluster; on one machine nothing of it counts. profiles/slurm says what a site adds to it.
# CPUs are asked for as `cpus_per_task`: `threads` would be capped at the CPUs of the machine that Snakemake runs on.
# Jobs with processes of their own (loaders, encoders) ask for CPUs; a job without has one thread (Snakemake sets
# OMP_NUM_THREADS to `threads`, which is 1) and takes the profile's default.


def grows(amount: int):
    """Megabytes or minutes that double with each attempt: the first may have been too few, and nobody looks on."""
    return lambda wildcards, attempt: amount * 2 ** (attempt - 1)


def gpus_of_a_node(run: str) -> int:
    """The experiment's GPUs, for what works on one node alone."""
    return min(experiment(run).gpus, C.cluster.gpus_per_node)


def nodes(run: str) -> int:
    """Nodes of a pretraining: more than one where its GPUs are more than a node has; then whole ones, so that Slurm
    cannot spread them unevenly."""
    gpus, most = experiment(run).gpus, C.cluster.gpus_per_node
    if gpus > most and gpus % most:
        raise WorkflowError(
            f"{run}: {gpus} gpus are not whole nodes of {most} (cluster.gpus_per_node): change one of them"
        )
    return max(1, gpus // most)


def gpus_here(run: str) -> int:
    """GPUs of a pretraining on each of its nodes."""
    return experiment(run).gpus // nodes(run)


def several(run: str, value):
    """`value` for a pretraining on several nodes; None leaves the resource out."""
    return value if nodes(run) > 1 else None


def cpus(run: str) -> int:
    """CPUs of a node: eight a GPU, for decoding; without a GPU, four that train."""
    return 8 * gpus_here(run) or 4


def memory(run: str, attempt: int) -> int:
    """Megabytes of a node: 32 GB a GPU; without a GPU, 8 GB. The double at each further attempt."""
    return (32000 * gpus_here(run) or 8000) * 2 ** (attempt - 1)
