# What made each run. A fallback costs time and rounds differently, so it stands in the report, and is said at the end.
rule runs:
    input:
        histories=of_runs(HISTORY, plan.all_runs(CONFIG)),
        planned=asked("runs", "runs"),
    output:
        table=report(
            RUNS,
            caption="../report/runs.rst",
            category="Runs",
            labels={
                "figure": "runs",
                "shows": "Devices, kernels and threads that made each run",
            },
        ),
        record=str(Path(RUNS).with_suffix(".json")),
    log:
        f"{LOGS}/runs.log",
    benchmark:
        f"{BENCHMARKS}/runs.tsv"
    localrule: True
    params:
        spec=settings("runs"),
        code=code_hash("runs"),
        inputs=as_options,
    shell:
        '"$CGPIPE_PYTHON" -I "$CGPIPE_PACKAGE" runs --spec {params.spec:q} --code {params.code} {params.inputs}'
        " --table {output.table:q} > {log:q} 2>&1"


onsuccess:
    say_what_ran(rules.runs.output.table)


onerror:
    say_what_ran(rules.runs.output.table)
