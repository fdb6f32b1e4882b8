# What people look at: one page about the whole run.


rule report:
    """One self-contained page about the whole run."""
    input:
        rules.tables.input,
        [index(source) for source in C.sources],
    output:
        report(f"{R}/report.html", category="Report"),
    log:
        "logs/report.log",
    conda:
        "../../envs/report.yaml"
    resources:
        cpus_per_task=4,
        mem_mb=grows(8000),
        runtime=grows(60),
    params:
        code=code_digest("cpd.report"),
    shell:
        "python -m cpd report" " --output {output:q}" " > {log} 2>&1"
