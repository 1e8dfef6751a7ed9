rule data:
    output:
        dataset=DATASET,
    params:
        spec=plan.spec(plan.data(CONFIG)),
        code=code_hash("data"),
    log:
        f"{LOGS}/data.log",
    benchmark:
        f"{BENCHMARKS}/data.tsv"
    shell:
        "{CGPIPE} data --spec {params.spec:q} --code {params.code}"
        " {DATA_ROOT} --downloads results/downloads"
        " --dataset {output.dataset:q} > {log:q} 2>&1"


rule corrupt:
    input:
        dataset=DATASET,
    output:
        corrupted=CORRUPTED,
    params:
        spec=settings("corrupt"),
        code=code_hash("corrupt"),
    log:
        f"{LOGS}/corrupt/noise-{{noise}}/replicate-{{replicate}}.log",
    benchmark:
        f"{BENCHMARKS}/corrupt/noise-{{noise}}/replicate-{{replicate}}.tsv"
    shell:
        "{CGPIPE} corrupt --spec {params.spec:q} --code {params.code}"
        " --dataset {input.dataset:q}"
        " --corrupted {output.corrupted:q} > {log:q} 2>&1"
