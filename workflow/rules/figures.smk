# One rule a figure: what it draws, and its place in the report. The table beside each figure holds the
# numbers that it shows.
SHOWN = {
    "figure1": (
        "Label noise: learning curves",
        lambda: drawn_from(HISTORY, "figure1", plain=True),
    ),
    "figure2": (
        "Fractions of the gradient, and null worlds: a sample",
        lambda: drawn_from(WORLDS, "figure2", plain=True, mixed=True),
    ),
    "figure2_exact": (
        "Fractions of the gradient, and null worlds: exact",
        lambda: drawn_from(EXACT_WORLDS, "figure2_exact", plain=True, mixed=True),
    ),
    "figure3": (
        "Mean cumulative contributions, and null worlds: a sample",
        lambda: drawn_from(WORLDS, "figure3", plain=True, mixed=True),
    ),
    "figure3_exact": (
        "Mean cumulative contributions, and null worlds: exact",
        lambda: drawn_from(EXACT_WORLDS, "figure3_exact", plain=True, mixed=True),
    ),
    "figure4": (
        "Winsorized SGD: accuracies and overfit",
        lambda: drawn_from(HISTORY, "figure4"),
    ),
    "coherence": (
        "Coherence of the gradients of all examples",
        lambda: drawn_from(COHERENCE, "coherence", plain=True),
    ),
    "activity": (
        "Winsorized SGD: hidden units in use",
        lambda: drawn_from(ACTIVITY, "activity"),
    ),
    "claims": (
        "The claims of the paper: statistics and verdicts",
        lambda: [CLAIMS],
    ),
}


for figure in plan.all_figures(CONFIG):
    shows, drawn = SHOWN[figure]

    rule:
        name:
            rule_of(figure)
        input:
            artifacts=drawn(),
            beside=beside(figure),
            planned=asked(rule_of(figure), "figures"),
        output:
            table=report(
                f"{RESULTS}/figures/{figure}.csv",
                caption=f"../report/{figure}.rst",
                category="Numbers",
                labels={"figure": in_words(figure), "shows": shows},
            ),
            pdf=f"{RESULTS}/figures/{figure}.pdf",
            svg=report(
                f"{RESULTS}/figures/{figure}.svg",
                caption=f"../report/{figure}.rst",
                category="Figures",
                labels={"figure": in_words(figure), "shows": shows},
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
            beside=lambda wildcards, input: as_options(
                wildcards, {"beside": input.beside}
            ),
        shell:
            '"$CGPIPE_PYTHON" -I "$CGPIPE_PACKAGE" figures --spec {params.spec:q} --code {params.code}'
            " --out {params.out:q} {params.beside} {input.artifacts:q} > {log:q} 2>&1"
