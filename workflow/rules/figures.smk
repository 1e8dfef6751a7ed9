# One rule a figure: what it draws, and its place in the report. The table beside each figure holds the
# numbers that it shows.
SHOWN = {
    "figure1": (
        "Label noise: learning curves",
        lambda: histories("figure1", plain=True),
    ),
    "figure2": (
        "Fractions of the gradient, and null worlds",
        lambda: worlds("figure2"),
    ),
    "figure3": (
        "Mean cumulative contributions, and null worlds",
        lambda: worlds("figure3"),
    ),
    "figure4": (
        "Winsorized SGD: accuracies and overfit",
        lambda: histories("figure4", plain=False),
    ),
}

for figure in FIGURES:
    shows, drawn = SHOWN[figure]

    rule:
        name:
            figure
        input:
            drawn(),
        output:
            table=report(
                f"{RESULTS}/figures/{figure}.csv",
                caption=f"../report/{figure}.rst",
                category="Numbers",
                labels={"figure": figure.removeprefix("figure"), "shows": shows},
            ),
            pdf=f"{RESULTS}/figures/{figure}.pdf",
            svg=report(
                f"{RESULTS}/figures/{figure}.svg",
                caption=f"../report/{figure}.rst",
                category="Figures",
                labels={"figure": figure.removeprefix("figure"), "shows": shows},
            ),
            png=f"{RESULTS}/figures/{figure}.png",
        log:
            f"{LOGS}/figures/{figure}.log",
        benchmark:
            f"{BENCHMARKS}/figures/{figure}.tsv"
        localrule: True
        params:
            spec=canonical(plan.figure(CONFIG, figure)),
            code=code_hash("figures"),
            out=lambda wildcards, output: output.table.removesuffix(".csv"),
        shell:
            "python -m cgpipe figures --spec {params.spec:q} --code {params.code}"
            " --out {params.out:q} {input:q} > {log:q} 2>&1"
