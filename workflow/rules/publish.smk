# What is kept under version control: the figures, their numbers, and a text that takes all of its numbers from them.
# The text comes first, by a rule of its own: where it is refused, what was published is not touched. (Snakemake removes
# the outputs of a job before it runs.)
if CONFIG.publish:

    rule text:
        input:
            template=given(CONFIG.publish.template),
            tables=drawn_as("csv"),
            beside=[given(path) for path in CONFIG.publish.beside],
            histories=of_runs(HISTORY, plan.all_runs(CONFIG)),
            planned=asked("text", "text"),
        output:
            WRITTEN,
            record=f"{RESULTS}/text/text.json",
        log:
            f"{LOGS}/text.log",
        benchmark:
            f"{BENCHMARKS}/text.tsv"
        localrule: True
        params:
            spec=settings("text"),
            code=code_hash("text"),
            inputs=as_options,
            published=lambda wildcards: [
                f"--published={path}" for path in rules.publish.output
            ],
            benchmarks=lambda wildcards, output: str(
                Path(output.record).parents[1] / "benchmarks"
            ),
            folder=lambda wildcards, output: str(Path(output.record).parent),
        shell:
            '"$CGPIPE_PYTHON" -I "$CGPIPE_PACKAGE" text --spec {params.spec:q} --code {params.code} {params.inputs} {params.published:q}'
            " --benchmarks {params.benchmarks:q} --folder {params.folder:q} > {log:q} 2>&1"

    rule publish:
        input:
            files=[WRITTEN, drawn_as("csv"), drawn_as("png", "svg")],
            planned=asked("publish", "publish", why_no_copy),
        output:
            plan.published(CONFIG),
        log:
            f"{LOGS}/publish.log",
        benchmark:
            f"{BENCHMARKS}/publish.tsv"
        localrule: True
        params:
            spec=settings("publish"),
            code=code_hash("publish"),
            folder=lambda wildcards, output: str(Path(output[0]).parent),
        shell:
            '"$CGPIPE_PYTHON" -I "$CGPIPE_PACKAGE" publish --spec {params.spec:q} --code {params.code} --folder {params.folder:q}'
            " {input.files:q} > {log:q} 2>&1"
