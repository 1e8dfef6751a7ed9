# One rule for each figure: the artifacts that it plots, and its place in the report. A figure comes with the table of
# the numbers that it shows. The figures are listed in cgpipe/figures/registry.py.
for figure in plan.all_figures(CONFIG):

    rule:
        name:
            rule_of(figure)
        input:
            artifacts=plotted_by(figure),
            compare_with=compared_with(figure),
            claims=MYSTERY if CONFIG.mystery and entry_of(figure).claims else [],
            planned=planned(rule_of(figure)),
        output:
            table=report(f"{RESULTS}/figures/{figure}.csv", **in_report(figure, "Numbers")),
            pdf=f"{RESULTS}/figures/{figure}.pdf",
            svg=report(f"{RESULTS}/figures/{figure}.svg", **in_report(figure, "Figures")),
            png=f"{RESULTS}/figures/{figure}.png",
            record=f"{RESULTS}/figures/{figure}.json",
        log:
            f"{LOGS}/figures/{figure}.log",
        benchmark:
            f"{BENCHMARKS}/figures/{figure}.tsv"
        localrule: True
        params:
            stage="figures",
            spec=canonical(plan.figure(CONFIG, figure)),
            code=code_hash("figures"),
            files=lambda wildcards, input, output: as_options(
                {
                    "out": output.table.removesuffix(".csv"),
                    "compare_with": input.compare_with,
                    "claims": input.claims,
                },
                arguments=input.artifacts,
            ),
        shell:
            COMMAND
