# The claims of the paper, tested on all runs that they are about.
if CONFIG.claims:

    rule claims:
        input:
            label_noise=of_claims("label_noise", HISTORY, plain=True),
            coherence=of_claims("label_noise", COHERENCE, plain=True),
            nullworlds=of_claims("label_noise", EXACT_WORLDS, plain=True, mixed=True),
            winsorization=of_claims("winsorization", HISTORY),
            full_batch=of_claims("full_batch", HISTORY, plain=True),
            planned=asked("claims", "claims"),
        output:
            claims=CLAIMS,
            table=report(
                f"{RESULTS}/claims.csv",
                caption="../report/claims.rst",
                category="Claims",
                labels={
                    "figure": "claims",
                    "shows": "The claims of the paper: verdicts",
                },
            ),
        log:
            f"{LOGS}/claims.log",
        benchmark:
            f"{BENCHMARKS}/claims.tsv"
        localrule: True
        params:
            spec=settings("claims"),
            code=code_hash("claims"),
            inputs=as_options,
        shell:
            '"$CGPIPE_PYTHON" -I "$CGPIPE_PACKAGE" claims --spec {params.spec:q} --code {params.code} {params.inputs}'
            " --claims {output.claims:q} --table {output.table:q} > {log:q} 2>&1"
