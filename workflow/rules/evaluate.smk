# Frozen features once per run and split; then one rule a protocol. Result files are all that tables read; what was
# predicted for each item stands beside them, for the report.


rule features:
    input:
        model=f"{R}/pretrain/{{run}}/model.safetensors",
        config=f"{R}/pretrain/{{run}}/config.json",
        index=f"{R}/sources/{{source}}/shards/index.json",
    output:
        f"{R}/features/{{run}}/{{source}}-{{split}}.safetensors",
    log:
        "logs/features/{run}/{source}-{split}.log",
    benchmark:
        f"{R}/benchmarks/features/{{run}}/{{source}}-{{split}}.tsv"
    conda:
        "../../envs/train.yaml"
    resources:
        nodes=1,
        gpu=lambda w: gpus_of_a_node(w.run),
        cpus_per_task=lambda w: cpus(w.run),
        mem_mb=lambda w, attempt: memory(w.run, attempt),
        runtime="12h",
        scratch="",
    params:
        config=lambda w: digest(protocols(w.run).features),
        code=code_digest("cpd.evaluate.features"),
    shell:
        "CPD_SCRATCH={resources.scratch:q} exec python -m cpd features"
        " --run {wildcards.run}"
        " --source {wildcards.source}"
        " --split {wildcards.split}"
        " --gpus {resources.gpu}"
        " > {log} 2>&1"


rule knn:
    input:
        lambda w: feature_files(w.run, w.dataset),
    output:
        result("knn"),
        predictions("knn"),
    log:
        "logs/knn/{run}/{dataset}-{split}.log",
    conda:
        "../../envs/train.yaml"
    resources:
        mem_mb=grows(8000),
        runtime=grows(120),
    params:
        config=lambda w: digest(protocols(w.run).knn),
        code=code_digest("cpd.evaluate.knn", "cpd.evaluate.datasets"),
    shell:
        "python -m cpd knn"
        " --run {wildcards.run}"
        " --dataset {wildcards.dataset}"
        " --split {wildcards.split}"
        " > {log} 2>&1"


rule linear:
    input:
        lambda w: feature_files(w.run, w.dataset),
    output:
        result("linear"),
        predictions("linear"),
    log:
        "logs/linear/{run}/{dataset}-{split}.log",
    conda:
        "../../envs/train.yaml"
    resources:
        mem_mb=grows(16000),
        runtime=grows(240),
    params:
        config=lambda w: digest(protocols(w.run).linear),
        code=code_digest("cpd.evaluate.linear", "cpd.evaluate.datasets"),
    shell:
        "python -m cpd linear"
        " --run {wildcards.run}"
        " --dataset {wildcards.dataset}"
        " --split {wildcards.split}"
        " > {log} 2>&1"


rule zeroshot:
    input:
        features=lambda w: feature_files(w.run, w.dataset, [C.datasets[w.dataset].test]),
        model=f"{R}/pretrain/{{run}}/model.safetensors",
    output:
        result("zeroshot"),
        predictions("zeroshot"),
    log:
        "logs/zeroshot/{run}/{dataset}-{split}.log",
    conda:
        "../../envs/train.yaml"
    resources:
        mem_mb=grows(8000),
        runtime=grows(60),
    params:
        config=lambda w: digest(protocols(w.run).zeroshot),
        code=code_digest("cpd.evaluate.zeroshot", "cpd.evaluate.datasets"),
    shell:
        "python -m cpd zeroshot"
        " --run {wildcards.run}"
        " --dataset {wildcards.dataset}"
        " --split {wildcards.split}"
        " > {log} 2>&1"


rule retrieval:
    input:
        lambda w: feature_files(w.run, w.dataset, [C.datasets[w.dataset].test]),
    output:
        result("retrieval"),
        predictions("retrieval"),
    log:
        "logs/retrieval/{run}/{dataset}-{split}.log",
    conda:
        "../../envs/train.yaml"
    resources:
        mem_mb=grows(8000),
        runtime=grows(60),
    params:
        config=lambda w: digest(protocols(w.run).retrieval),
        code=code_digest("cpd.evaluate.retrieval", "cpd.evaluate.datasets"),
    shell:
        "python -m cpd retrieval"
        " --run {wildcards.run}"
        " --dataset {wildcards.dataset}"
        " --split {wildcards.split}"
        " > {log} 2>&1"


rule finetune:
    input:
        model=f"{R}/pretrain/{{run}}/model.safetensors",
        config=f"{R}/pretrain/{{run}}/config.json",
        index=lambda w: index(C.datasets[w.dataset].source),
    output:
        result("finetune"),
        predictions("finetune"),
    log:
        "logs/finetune/{run}/{dataset}-{split}.log",
    benchmark:
        f"{R}/benchmarks/finetune/{{run}}/{{dataset}}-{{split}}.tsv"
    conda:
        "../../envs/train.yaml"
    resources:
        nodes=1,
        gpu=lambda w: gpus_of_a_node(w.run),
        cpus_per_task=lambda w: cpus(w.run),
        mem_mb=lambda w, attempt: memory(w.run, attempt),
        runtime="1d",
        scratch="",
    params:
        config=lambda w: digest(protocols(w.run).finetune),
        code=code_digest("cpd.finetune"),
    shell:
        "CPD_SCRATCH={resources.scratch:q} exec python -m cpd finetune"
        " --run {wildcards.run}"
        " --dataset {wildcards.dataset}"
        " --split {wildcards.split}"
        " --gpus {resources.gpu}"
        " > {log} 2>&1"
