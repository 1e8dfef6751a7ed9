rule data:
    input:
        planned=planned("data"),
    output:
        dataset=DATASET,
    log:
        f"{LOGS}/data.log",
    benchmark:
        f"{BENCHMARKS}/data.tsv"
    localrule: True
    params:
        stage="data",
        spec=settings("data"),
        code=code_hash("data"),
        files=lambda wildcards, output: as_options(
            output, {"downloads": str(Path(output.dataset).parents[1] / "downloads")}
        ),
    shell:
        COMMAND


rule corrupt:
    input:
        dataset=DATASET,
        planned=planned("corrupt"),
    output:
        corrupted=CORRUPTED,
    log:
        f"{LOGS}/corrupt/{{examples}}noise-{{noise}}/replicate-{{replicate}}.log",
    benchmark:
        f"{BENCHMARKS}/corrupt/{{examples}}noise-{{noise}}/replicate-{{replicate}}.tsv"
    params:
        stage="corrupt",
        spec=settings("corrupt"),
        code=code_hash("corrupt"),
        files=file_options,
    shell:
        COMMAND
