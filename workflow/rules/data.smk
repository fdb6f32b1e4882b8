# Lists -> chunks -> crawl -> titles and clips -> shards. One job per chunk and stage.
from cpd.sources.takedown import listed

SOURCES = f"{R}/sources/{{source}}"


for name, source in C.sources.items():

    rule:
        name:
            f"plan_{name}"
        input:
            DEMO,
            [path for path in source.lists.values() if Path(path).exists() and not DEMO],
        output:
            expand(f"{R}/sources/{name}/plan/{{chunk}}.jsonl", chunk=chunks(name)),
        log:
            f"logs/plan/{name}.log",
        localrule: True
        conda:
            "../../envs/data.yaml"
        params:
            config=lambda w, source=source: digest(
                source.kind,
                source.lists,
                source.videos,
                source.pairs,
                source.chunk_size,
                source.url,
            ),
            code=code_digest("cpd.sources.plan", "cpd.sources.readers"),
            source=name,
        shell:
            "python -m cpd chunks" " --source {params.source}" " > {log} 2>&1"


rule given:
    """Files that a person put there: what is missing is told at once, and a changed file trains its runs again."""
    input:
        lambda w: [one.path for one in cpd_given.of_key(C, w.given) if one.is_there],
    output:
        f"{R}/given/{{given}}.json",
    log:
        "logs/given/{given}.log",
    localrule: True
    conda:
        "../../envs/data.yaml"
    params:
        files=lambda w: digest([str(one.path) for one in cpd_given.of_key(C, w.given)]),
        code=code_digest("cpd.commands.given"),
    shell:
        "python -m cpd given {wildcards.given}" " --output {output:q}" " > {log} 2>&1"


rule crawl:
    input:
        f"{SOURCES}/plan/{{chunk}}.jsonl",
    output:
        f"{SOURCES}/crawl/{{chunk}}.jsonl",
    log:
        "logs/crawl/{source}/{chunk}.log",
    conda:
        "../../envs/data.yaml"
    resources:
        youtube=lambda w: int(
            bool(C.sources[w.source].url) and not C.sources[w.source].site
        ),
        mem_mb=grows(2000),
        runtime="12h",
    params:
        # what decides the result, and no more: pace, cookies and proxy re-run nothing and stand in no metadata
        config=digest(
            C.crawl.media,
            C.crawl.max_height,
            C.crawl.max_duration,
            C.crawl.max_bytes,
            C.crawl.sections,
            C.crawl.min_ok_ratio,
        ),
        takedown=lambda w: listed(C, w.source, w.chunk),
        code=code_digest("cpd.commands.crawl"),
    shell:
        "python -m cpd crawl"
        " --source {wildcards.source}"
        " --chunk {wildcards.chunk}"
        " > {log} 2>&1"


rule title_clean:
    input:
        f"{SOURCES}/crawl/{{chunk}}.jsonl",
    output:
        f"{SOURCES}/clean/{{chunk}}.jsonl",
    log:
        "logs/title-clean/{source}/{chunk}.log",
    conda:
        "../../envs/text.yaml"
    resources:
        mem_mb=grows(4000),
        runtime=grows(60),
    params:
        config=digest(C.text.english_margin, C.text.max_chars),
        code=code_digest("cpd.text.clean", "cpd.commands.title_clean"),
    shell:
        "python -m cpd title-clean"
        " --source {wildcards.source}"
        " --chunk {wildcards.chunk}"
        " > {log} 2>&1"


rule title_tree:
    input:
        clean=f"{SOURCES}/clean/{{chunk}}.jsonl",
        models=STANZA_MODELS,
    output:
        f"{SOURCES}/tree/{{chunk}}.jsonl",
    log:
        "logs/title-tree/{source}/{chunk}.log",
    conda:
        "../../envs/text.yaml"
    resources:
        mem_mb=grows(8000),
        runtime=grows(240),
    params:
        config=digest(C.text),
        code=code_digest("cpd.text.tree", "cpd.commands.title_tree"),
    shell:
        "python -m cpd title-tree"
        " --source {wildcards.source}"
        " --chunk {wildcards.chunk}"
        " > {log} 2>&1"


rule clips:
    input:
        f"{SOURCES}/crawl/{{chunk}}.jsonl",
    output:
        f"{SOURCES}/clips/{{chunk}}.jsonl",
    log:
        "logs/clips/{source}/{chunk}.log",
    conda:
        "../../envs/data.yaml"
    threads: 2
    resources:
        cpus_per_task=4,
        mem_mb=grows(4000),
        runtime="4h",
    params:
        config=digest(C.clips),
        code=code_digest("cpd.commands.clips"),
    shell:
        "python -m cpd clips"
        " --source {wildcards.source}"
        " --chunk {wildcards.chunk}"
        " > {log} 2>&1"


rule shard:
    input:
        plan=f"{SOURCES}/plan/{{chunk}}.jsonl",
        crawl=f"{SOURCES}/crawl/{{chunk}}.jsonl",
        clips=f"{SOURCES}/clips/{{chunk}}.jsonl",
        tree=branch(
            lambda w: C.sources[w.source].text,
            then=f"{SOURCES}/tree/{{chunk}}.jsonl",
        ),
    output:
        tar=f"{SOURCES}/shards/{{chunk}}.tar",
        sidecar=f"{SOURCES}/shards/{{chunk}}.json",
        ledger=f"{SOURCES}/shards/{{chunk}}.ledger.jsonl",
    log:
        "logs/shard/{source}/{chunk}.log",
    conda:
        "../../envs/data.yaml"
    resources:
        mem_mb=grows(2000),
        runtime=grows(60),
    params:
        code=code_digest("cpd.shards.write", "cpd.commands.shard"),
    shell:
        "python -m cpd shard"
        " --source {wildcards.source}"
        " --chunk {wildcards.chunk}"
        " > {log} 2>&1"


rule index:
    """Instance indices, dense and stable: the banks are addressed by them."""
    input:
        lambda w: expand(
            f"{R}/sources/{w.source}/shards/{{chunk}}.json", chunk=chunks(w.source)
        ),
    output:
        f"{SOURCES}/shards/index.json",
    log:
        "logs/index/{source}.log",
    localrule: True
    conda:
        "../../envs/data.yaml"
    params:
        code=code_digest("cpd.shards.index"),
    shell:
        "python -m cpd index" " --source {wildcards.source}" " > {log} 2>&1"
