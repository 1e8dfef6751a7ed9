rule data:
    input:
        planned=asked("data", "data"),
    output:
        dataset=DATASET,
    log:
        f"{LOGS}/data.log",
    benchmark:
        f"{BENCHMARKS}/data.tsv"
    localrule: True
    params:
        spec=settings("data"),
        code=code_hash("data"),
        downloads=lambda wildcards, output: str(
            Path(output.dataset).parents[1] / "downloads"
        ),
    shell:
        '"$CGPIPE_PYTHON" -I "$CGPIPE_PACKAGE" data --spec {params.spec:q} --code {params.code}'
        " --downloads {params.downloads:q}"
        " --dataset {output.dataset:q} > {log:q} 2>&1"


rule corrupt:
    input:
        dataset=DATASET,
        planned=asked("corrupt", "corrupt"),
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
        '"$CGPIPE_PYTHON" -I "$CGPIPE_PACKAGE" corrupt --spec {params.spec:q} --code {params.code}'
        " --dataset {input.dataset:q}"
        " --corrupted {output.corrupted:q} > {log:q} 2>&1"
