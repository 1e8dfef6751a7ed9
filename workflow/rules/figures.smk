# One rule a figure: what it draws, and its place in the report. The table beside each figure holds the
# numbers that it shows.


rule figure1:
    input:
        histories("figure1", plain=True),
    output:
        table=report(
            f"{RESULTS}/figures/figure1.csv",
            caption="../report/figure1.rst",
            category="Numbers",
            labels={"figure": "1", "shows": "Label noise: learning curves"},
        ),
        pdf=f"{RESULTS}/figures/figure1.pdf",
        svg=report(
            f"{RESULTS}/figures/figure1.svg",
            caption="../report/figure1.rst",
            category="Figures",
            labels={"figure": "1", "shows": "Label noise: learning curves"},
        ),
        png=f"{RESULTS}/figures/figure1.png",
    log:
        f"{LOGS}/figures/figure1.log",
    benchmark:
        f"{BENCHMARKS}/figures/figure1.tsv"
    params:
        spec=figure_settings("figure1"),
        code=code_hash("figures"),
        out=lambda wildcards, output: output.table.removesuffix(".csv"),
    shell:
        "python -m cgpipe figures --spec {params.spec:q} --code {params.code}"
        " --out {params.out:q} {input:q} > {log:q} 2>&1"


use rule figure1 as figure2 with:
    input:
        worlds("figure2"),
    output:
        table=report(
            f"{RESULTS}/figures/figure2.csv",
            caption="../report/figure2.rst",
            category="Numbers",
            labels={
                "figure": "2",
                "shows": "Fractions of the gradient, and null worlds",
            },
        ),
        pdf=f"{RESULTS}/figures/figure2.pdf",
        svg=report(
            f"{RESULTS}/figures/figure2.svg",
            caption="../report/figure2.rst",
            category="Figures",
            labels={
                "figure": "2",
                "shows": "Fractions of the gradient, and null worlds",
            },
        ),
        png=f"{RESULTS}/figures/figure2.png",
    log:
        f"{LOGS}/figures/figure2.log",
    benchmark:
        f"{BENCHMARKS}/figures/figure2.tsv"
    params:
        spec=figure_settings("figure2"),
        code=code_hash("figures"),
        out=lambda wildcards, output: output.table.removesuffix(".csv"),


use rule figure1 as figure3 with:
    input:
        worlds("figure3"),
    output:
        table=report(
            f"{RESULTS}/figures/figure3.csv",
            caption="../report/figure3.rst",
            category="Numbers",
            labels={
                "figure": "3",
                "shows": "Mean cumulative contributions, and null worlds",
            },
        ),
        pdf=f"{RESULTS}/figures/figure3.pdf",
        svg=report(
            f"{RESULTS}/figures/figure3.svg",
            caption="../report/figure3.rst",
            category="Figures",
            labels={
                "figure": "3",
                "shows": "Mean cumulative contributions, and null worlds",
            },
        ),
        png=f"{RESULTS}/figures/figure3.png",
    log:
        f"{LOGS}/figures/figure3.log",
    benchmark:
        f"{BENCHMARKS}/figures/figure3.tsv"
    params:
        spec=figure_settings("figure3"),
        code=code_hash("figures"),
        out=lambda wildcards, output: output.table.removesuffix(".csv"),


use rule figure1 as figure4 with:
    input:
        histories("figure4", plain=False),
    output:
        table=report(
            f"{RESULTS}/figures/figure4.csv",
            caption="../report/figure4.rst",
            category="Numbers",
            labels={"figure": "4", "shows": "Winsorized SGD: accuracies and overfit"},
        ),
        pdf=f"{RESULTS}/figures/figure4.pdf",
        svg=report(
            f"{RESULTS}/figures/figure4.svg",
            caption="../report/figure4.rst",
            category="Figures",
            labels={"figure": "4", "shows": "Winsorized SGD: accuracies and overfit"},
        ),
        png=f"{RESULTS}/figures/figure4.png",
    log:
        f"{LOGS}/figures/figure4.log",
    benchmark:
        f"{BENCHMARKS}/figures/figure4.tsv"
    params:
        spec=figure_settings("figure4"),
        code=code_hash("figures"),
        out=lambda wildcards, output: output.table.removesuffix(".csv"),
