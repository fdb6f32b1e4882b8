rule pretrain:
    """One run: an experiment with a seed. Checkpoints stay undeclared beside it, so that a killed run resumes."""
    input:
        index=lambda w: [
            index(source)
            for source in {
                **dict.fromkeys(experiment(w.run).sources),
                experiment(w.run).validation.source: None,
            }
        ],
        encoder=lambda w: encoder_files(experiment(w.run).encoder),
        given=lambda w: given_files(w.run),
    output:
        model=f"{R}/pretrain/{{run}}/model.safetensors",
        config=f"{R}/pretrain/{{run}}/config.json",
        metrics=f"{R}/pretrain/{{run}}/metrics.json",
    log:
        "logs/pretrain/{run}.log",
    benchmark:
        f"{R}/benchmarks/pretrain/{{run}}.tsv"
    conda:
        "../../envs/train.yaml"
    resources:
        gpu=lambda w: experiment(w.run).gpus,
        nodes=lambda w: nodes(w.run),
        cpus_per_task=lambda w: cpus(w.run),
        mem_mb=lambda w, attempt: memory(w.run, attempt),
        runtime="1d",
        scratch="",
        # several nodes: one launcher on each, started by the job's own srun
        mpi=lambda w: several(w.run, "srun"),
        tasks=lambda w: several(w.run, nodes(w.run)),
        tasks_per_gpu=lambda w: several(w.run, 0),
    params:
        config=lambda w: digest(
            experiment(w.run), C.encoders[experiment(w.run).encoder]
        ),
        code=code_digest("cpd.pretrain"),
        experiment=lambda w: w.run.partition("@")[0],
        seed=lambda w: seed(w.run),
        folder=subpath(output.model, parent=True),
    shell:
        # exec: a signal that Slurm sends to every process of the job must not end a shell around the training
        "CPD_SCRATCH={resources.scratch:q} exec python -m cpd pretrain {params.experiment}"
        " --seed {params.seed}"
        " --gpus {resources.gpu}"
        " --nodes {resources.nodes}"
        " --output {params.folder:q}"
        " > {log} 2>&1"
