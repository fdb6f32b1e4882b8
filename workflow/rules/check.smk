# The built results held against what they must be.


rule check:
    """Ranges, exact counts, seeds, and for every measured number the settings and weights that it came from."""
    input:
        rules.tables.input,
        [index(source) for source in C.sources],
    output:
        f"{R}/tables/check.json",
    log:
        "logs/check.log",
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=grows(4000),
        runtime=grows(60),
    params:
        config=lambda w: digest(C.tables, C.seeds, C.corpus),
        code=code_digest("cpd.check", "cpd.tables"),
    shell:
        "python -m cpd table --check" " --output {output:q}" " > {log} 2>&1"
