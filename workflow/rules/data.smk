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
        **of_stage("data", files=data_options),
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
        **of_stage("corrupt"),
        of_data=settings("data"),
    shell:
        COMMAND
