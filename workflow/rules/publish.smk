# What is kept under version control: the figures, their numbers, and a text that takes all of its numbers from them.
# The text comes first, by a rule of its own: where it is refused, what was published is not touched. (Snakemake removes
# the outputs of a job before it runs.)
if CONFIG.publish:

    rule text:
        input:
            template=file_of_settings(CONFIG.publish.template),
            tables=plotted_as("csv"),
            beside=[file_of_settings(path) for path in CONFIG.publish.beside],
            histories=paths_of(HISTORY, plan.all_runs(CONFIG)),
            planned=planned("text"),
        output:
            WRITTEN,
            record=f"{RESULTS}/text/text.json",
        log:
            f"{LOGS}/text.log",
        benchmark:
            f"{BENCHMARKS}/text.tsv"
        localrule: True
        params:
            stage="text",
            spec=settings("text"),
            code=code_hash("text"),
            files=lambda wildcards, input, output: as_options(
                input,
                {
                    "published": rules.publish.output,
                    "benchmarks": str(Path(output.record).parents[1] / "benchmarks"),
                    "folder": str(Path(output.record).parent),
                },
            ),
        shell:
            COMMAND

    rule publish:
        input:
            files=[WRITTEN, plotted_as("csv"), plotted_as("png", "svg")],
            planned=planned("publish", why_no_copy),
        output:
            plan.published(CONFIG),
        log:
            f"{LOGS}/publish.log",
        benchmark:
            f"{BENCHMARKS}/publish.tsv"
        localrule: True
        params:
            stage="publish",
            spec=settings("publish"),
            code=code_hash("publish"),
            files=lambda wildcards, input, output: as_options(
                {"folder": str(Path(output[0]).parent)}, arguments=input.files
            ),
        shell:
            COMMAND
