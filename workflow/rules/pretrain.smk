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
        "../../envs/cpd.yaml"
    resources:
        gpu=lambda w: experiment(w.run).gpus,
        runtime="7d",
    params:
        config=lambda w: digest(
            experiment(w.run), C.encoders[experiment(w.run).encoder]
        ),
        code=code_digest("cpd.pretrain"),
        experiment=lambda w: w.run.partition("@")[0],
        seed=lambda w: seed(w.run),
        folder=subpath(output.model, parent=True),
    shell:
        "python -m cpd pretrain {params.experiment}"
        " --seed {params.seed}"
        " --gpus {resources.gpu}"
        " --output {params.folder:q}"
        " > {log} 2>&1"
