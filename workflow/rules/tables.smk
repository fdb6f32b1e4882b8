FORMATS = ("csv", "md", "tex", "html", "json")


rule table:
    """One table beside the paper's numbers: it needs the result files of its rows, and no others."""
    input:
        lambda w: cpd_tables.inputs(C, w.table),
    output:
        expand(f"{R}/tables/{{{{table}}}}.{{suffix}}", suffix=FORMATS),
    log:
        "logs/table/{table}.log",
    conda:
        "../../envs/cpd.yaml"
    params:
        config=lambda w: digest(C.tables[w.table], C.corpus),
        code=code_digest("cpd.tables", "cpd.paper"),
    shell:
        "python -m cpd table {wildcards.table}" " > {log} 2>&1"


rule tables:
    """Every table, in every format."""
    input:
        expand(f"{R}/tables/{{table}}.{{suffix}}", table=C.tables, suffix=FORMATS),


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
        "../../envs/cpd.yaml"
    params:
        code=code_digest("cpd.report"),
    shell:
        "python -m cpd report" " --output {output:q}" " > {log} 2>&1"
