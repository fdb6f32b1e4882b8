FORMATS = ("csv", "md", "tex", "json")


rule table:
    """One table beside the paper's numbers: it needs the result files of its rows, and no others."""
    input:
        lambda w: cpd_tables.inputs(C, w.table),
    output:
        expand(f"{R}/tables/{{{{table}}}}.{{suffix}}", suffix=FORMATS),
        report(
            f"{R}/tables/{{table}}.html",
            caption="../report/table.rst",
            category="Tables",
            labels={"table": "{table}"},
        ),
    log:
        "logs/table/{table}.log",
    localrule: True
    conda:
        "../../envs/report.yaml"
    params:
        config=lambda w: digest(C.tables[w.table], C.corpus),
        code=code_digest("cpd.tables", "cpd.paper"),
    shell:
        "python -m cpd table {wildcards.table}" " > {log} 2>&1"


rule tables:
    """Every table, in every format."""
    input:
        expand(
            f"{R}/tables/{{table}}.{{suffix}}",
            table=C.tables,
            suffix=(*FORMATS, "html"),
        ),
