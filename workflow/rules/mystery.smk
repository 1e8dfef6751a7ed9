# The claims of Chatterjee and Zielinski (2022), tested on all runs that they are about.
if CONFIG.mystery:

    rule mystery:
        input:
            **{kind: paths_of(path, plan.mystery_runs(CONFIG, kind)) for kind, path in OF_MYSTERY.items()},
            difficulty=[DIFFICULTY.format(experiment=CONFIG.mystery.seeds)] if CONFIG.mystery.seeds else [],
            planned=planned("mystery"),
        output:
            claims=MYSTERY,
            table=report(
                f"{RESULTS}/mystery.csv",
                **in_report(
                    "mystery", "Claims", "The claims of the second paper: statistics in each replicate"
                ),
            ),
            verdicts=report(
                f"{RESULTS}/mystery_verdicts.csv",
                **in_report("mystery", "Claims", "The claims of the second paper: verdicts"),
            ),
        log:
            f"{LOGS}/mystery.log",
        benchmark:
            f"{BENCHMARKS}/mystery.tsv"
        localrule: True
        params:
            **of_stage("mystery"),
        shell:
            COMMAND
