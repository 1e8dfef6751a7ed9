# What made each run. A fallback costs time and rounds differently, so it stands in the report, and is said at the end.
rule runs:
    input:
        histories=paths_of(HISTORY, plan.all_runs(CONFIG)),
        planned=planned("runs"),
    output:
        table=report(
            RUNS,
            **in_report("runs", "Runs", "Devices, kernels and threads that made each run"),
        ),
        record=str(Path(RUNS).with_suffix(".json")),
    log:
        f"{LOGS}/runs.log",
    benchmark:
        f"{BENCHMARKS}/runs.tsv"
    localrule: True
    params:
        **of_stage("runs"),
    shell:
        COMMAND


onsuccess:
    report_slow_runs()


onerror:
    report_slow_runs()
