# What replaces the world when there is no network: videos, a web site, a treebank, a language model.
DEMO = [f"{C.demo.folder}/corpus.json"] if C.demo else []

if C.demo:

    rule demo_corpus:
        """Render the videos, write their lists and titles, and the pages of the loopback site."""
        output:
            f"{C.demo.folder}/corpus.json",
        log:
            "logs/demo/corpus.log",
        conda:
            "../../envs/data.yaml"
        threads: lambda wildcards: workflow.cores  # later: `--unlock` and the like know no cores
        resources:
            cpus_per_task=4,
            mem_mb=grows(4000),
            runtime=grows(30),
        params:
            config=digest(C.demo),
            code=code_digest("cpd.sources.demo.corpus"),
        shell:
            "python -m cpd demo-corpus" " > {log} 2>&1"

    rule demo_stanza:
        """Train stanza's tagger and parser on the demo's treebank."""
        input:
            DEMO,
        output:
            pos=f"{R}/stanza/pos.pt",
            depparse=f"{R}/stanza/depparse.pt",
            metrics=f"{R}/stanza/metrics.json",
        log:
            "logs/demo/stanza.log",
        conda:
            "../../envs/text.yaml"
        resources:
            mem_mb=grows(4000),
            runtime=grows(30),
        params:
            config=digest(C.demo.stanza_steps, C.demo.seed),
            code=code_digest("cpd.text.demo_stanza"),
            folder=subpath(output.pos, parent=True),
        shell:
            "python -m cpd demo-stanza" " --output {params.folder:q}" " > {log} 2>&1"

    rule demo_encoder:
        """Train a small DistilBERT on the demo's titles."""
        input:
            DEMO,
        output:
            f"{R}/encoders/{{encoder}}/config.json",
            f"{R}/encoders/{{encoder}}/model.safetensors",
            f"{R}/encoders/{{encoder}}/tokenizer.json",
            f"{R}/encoders/{{encoder}}/metrics.json",
        log:
            "logs/demo/encoder-{encoder}.log",
        conda:
            "../../envs/text.yaml"
        resources:
            mem_mb=grows(4000),
            runtime=grows(30),
        params:
            config=digest(
                C.demo.encoder_steps,
                C.demo.encoder_dim,
                C.demo.encoder_layers,
                C.demo.seed,
            ),
            code=code_digest("cpd.text.demo_encoder"),
            folder=subpath(output[0], parent=True),
        shell:
            "python -m cpd demo-encoder" " --output {params.folder:q}" " > {log} 2>&1"

    STANZA_MODELS = [rules.demo_stanza.output.pos, rules.demo_stanza.output.depparse]

else:

    rule stanza_models:
        """Download stanza's English models, once, in one job (parallel downloads corrupt them)."""
        output:
            f"{C.text.stanza_dir}/resources.json",
        log:
            "logs/stanza-download.log",
        retries: 2
        localrule: True
        conda:
            "../../envs/text.yaml"
        params:
            config=digest(C.text),
        shell:
            "python -m cpd title-tree --download" " > {log} 2>&1"

    STANZA_MODELS = (
        [C.text.pos_model, C.text.depparse_model]
        if C.text.pos_model
        else rules.stanza_models.output
    )
