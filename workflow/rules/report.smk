# What people look at: one page about the whole run.
from cpd.report import choose as cpd_choose


rule report:
    """One self-contained page about the whole run."""
    input:
        tables=rules.tables.input,
        index=[index(source) for source in C.sources],
        rows=cpd_choose.stage_files(C),
        metrics=expand(f"{R}/pretrain/{{run}}/metrics.json", run=cpd_choose.runs(C)),
        predictions=cpd_choose.prediction_files(C),
        features=[
            path
            for run, dataset in cpd_choose.mapped(C)
            for path in feature_files(run, dataset, [C.datasets[dataset].test])
        ],
    output:
        page=report(
            f"{R}/report.html", caption="../report/report.rst", category="Report"
        ),
        figures=report(
            directory(f"{R}/figures"),
            patterns=["{name}.svg"],
            caption="../report/figure.rst",
            category="Figures",
            labels={"figure": "{name}"},
        ),
    log:
        "logs/report.log",
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=grows(8000),
        runtime=grows(60),
    params:
        config=digest(C.report, C.corpus, C.run, C.seeds),
        code=code_digest("cpd.report"),
    shell:
        "python -m cpd report"
        " --output {output.page:q}"
        " --figures {output.figures:q}"
        " > {log} 2>&1"
