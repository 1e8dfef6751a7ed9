# One rule for each figure: the artifacts that it plots, and its place in the report. A figure comes with the table of
# the numbers that it shows. The figures are listed in cgpipe/figures/registry.py.
for figure in plan.all_figures(CONFIG):

    rule:
        name:
            rule_of(figure)
        input:
            artifacts=plotted_by(figure),
            compare_with=compare_with(figure),
            planned=asked(rule_of(figure), "figures"),
        output:
            table=report(
                f"{RESULTS}/figures/{figure}.csv", **in_report(figure, "Numbers")
            ),
            pdf=f"{RESULTS}/figures/{figure}.pdf",
            svg=report(
                f"{RESULTS}/figures/{figure}.svg", **in_report(figure, "Figures")
            ),
            png=f"{RESULTS}/figures/{figure}.png",
            record=f"{RESULTS}/figures/{figure}.json",
        log:
            f"{LOGS}/figures/{figure}.log",
        benchmark:
            f"{BENCHMARKS}/figures/{figure}.tsv"
        localrule: True
        params:
            spec=canonical(plan.figure(CONFIG, figure)),
            code=code_hash("figures"),
            out=lambda wildcards, output: output.table.removesuffix(".csv"),
            compare_with=lambda wildcards, input: as_options(
                wildcards, {"compare_with": input.compare_with}
            ),
        shell:
            '"$CGPIPE_PYTHON" -I "$CGPIPE_PACKAGE" figures --spec {params.spec:q} --code {params.code}'
            " --out {params.out:q} {params.compare_with} {input.artifacts:q} > {log:q} 2>&1"
