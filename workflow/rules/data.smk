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
        difficulty=difficulty_of,
        planned=planned("corrupt"),
    output:
        corrupted=CORRUPTED,
    log:
        f"{LOGS}/corrupt/{{dataset}}{{examples}}noise-{{noise}}/replicate-{{replicate}}.log",
    benchmark:
        f"{BENCHMARKS}/corrupt/{{dataset}}{{examples}}noise-{{noise}}/replicate-{{replicate}}.tsv"
    params:
        **of_stage("corrupt"),
    shell:
        COMMAND


# Of an experiment whose runs train on the same examples: which of these are easy.
rule difficulty:
    input:
        dataset=of_one_run(dataset_of),
        corrupted=of_one_run(labels_of),
        histories=lambda wildcards: paths_of(HISTORY, plan.runs(CONFIG, wildcards.experiment)),
        planned=planned("difficulty"),
    output:
        difficulty=DIFFICULTY,
    log:
        f"{LOGS}/difficulty/{{experiment}}.log",
    benchmark:
        f"{BENCHMARKS}/difficulty/{{experiment}}.tsv"
    wildcard_constraints:
        experiment=experiments_where(lambda e: not any(without_difficulty("", e))),
    localrule: True
    params:
        **of_stage("difficulty"),
    shell:
        COMMAND
