rule data:
    input:
        planned=planned("data"),
    output:
        dataset=DATASET,
    log:
        f"{LOGS}/{{dataset}}data.log",
    benchmark:
        f"{BENCHMARKS}/{{dataset}}data.tsv"
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
        f"{LOGS}/corrupt/{{dataset}}{{examples}}noise-{{noise}}/replicate-{{replicate}}.log",
    benchmark:
        f"{BENCHMARKS}/corrupt/{{dataset}}{{examples}}noise-{{noise}}/replicate-{{replicate}}.tsv"
    params:
        **of_stage("corrupt"),
        of_data=settings("data"),
    shell:
        COMMAND
