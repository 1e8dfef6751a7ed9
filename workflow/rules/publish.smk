# What is kept under version control: the figures, their numbers, and a text that takes all of its numbers from them.
if CONFIG.publish:

    rule publish:
        input:
            template=CONFIG.publish.template,
            tables=drawn_as("csv"),
            figures=drawn_as("png", "svg"),
            histories=of_runs(HISTORY, plan.all_cells(CONFIG)),
        # What is there is put back where publishing fails.
        output:
            update(plan.published(CONFIG)),
        log:
            f"{LOGS}/publish.log",
        benchmark:
            f"{BENCHMARKS}/publish.tsv"
        localrule: True
        params:
            spec=canonical(plan.publish()),
            code=code_hash("publish"),
            inputs=as_options,
            benchmarks=BENCHMARKS,
            folder=CONFIG.publish.folder,
        shell:
            "python -m cgpipe publish --spec {params.spec:q} --code {params.code} {params.inputs}"
            " --benchmarks {params.benchmarks:q} --folder {params.folder:q} > {log:q} 2>&1"
