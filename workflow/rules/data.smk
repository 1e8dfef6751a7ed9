rule data:
    output:
        dataset=DATASET,
    log:
        f"{LOGS}/data.log",
    benchmark:
        f"{BENCHMARKS}/data.tsv"
    params:
        spec=canonical(plan.data(CONFIG)),
        code=code_hash("data"),
    shell:
        "python -m cgpipe data --spec {params.spec:q} --code {params.code}"
        " --downloads results/downloads"
        " --dataset {output.dataset:q} > {log:q} 2>&1"


rule corrupt:
    input:
        dataset=DATASET,
    output:
        corrupted=CORRUPTED,
    log:
        f"{LOGS}/corrupt/noise-{{noise}}/replicate-{{replicate}}.log",
    benchmark:
        f"{BENCHMARKS}/corrupt/noise-{{noise}}/replicate-{{replicate}}.tsv"
    params:
        spec=settings("corrupt"),
        code=code_hash("corrupt"),
    shell:
        "python -m cgpipe corrupt --spec {params.spec:q} --code {params.code}"
        " --dataset {input.dataset:q}"
        " --corrupted {output.corrupted:q} > {log:q} 2>&1"
