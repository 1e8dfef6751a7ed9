rule gradients:
    input:
        dataset=DATASET,
        corrupted=labels_of,
        snapshots=SNAPSHOTS,
        planned=planned("gradients"),
    output:
        gradients=GRADIENTS,
    log:
        f"{LOGS}/gradients/{RUN}.log",
    benchmark:
        f"{BENCHMARKS}/gradients/{RUN}.tsv"
    resources:
        gpu=gpus_for_little,
    params:
        stage="gradients",
        spec=settings("gradients"),
        code=code_hash("gradients"),
        files=file_options,
    shell:
        COMMAND


rule contributions:
    input:
        dataset=DATASET,
        corrupted=labels_of,
        snapshots=SNAPSHOTS,
        planned=planned("contributions"),
    output:
        contributions=CONTRIBUTIONS,
    log:
        f"{LOGS}/contributions/{RUN}.log",
    benchmark:
        f"{BENCHMARKS}/contributions/{RUN}.tsv"
    resources:
        gpu=GPUS,
        mem_mb=lambda wildcards, attempt: 8000 * attempt,
    params:
        stage="contributions",
        spec=settings("contributions"),
        code=code_hash("contributions"),
        files=file_options,
    shell:
        COMMAND


rule coherence:
    input:
        contributions=CONTRIBUTIONS,
        planned=planned("coherence"),
    output:
        coherence=COHERENCE,
    log:
        f"{LOGS}/coherence/{RUN}.log",
    benchmark:
        f"{BENCHMARKS}/coherence/{RUN}.tsv"
    params:
        stage="coherence",
        spec=settings("coherence"),
        code=code_hash("coherence"),
        files=file_options,
    shell:
        COMMAND


# The same for packs of runs, as in train.smk.
for name in CONFIG.experiments:
    stages_of_run = ["data", "corrupt", "train", "contributions", "coherence"]
    exact = packs(stages_of_run[:-1], name, is_analysed(EXACT_WORLDS, COHERENCE))
    for number, pack in enumerate(exact, 1):

        rule:
            name:
                f"contributions_{name}_{number}"
            input:
                dataset=DATASET,
                corrupted=labels_of_each(pack),
                snapshots=paths_of(SNAPSHOTS, pack),
                planned=planned("contributions", pack),
            output:
                contributions=paths_of(CONTRIBUTIONS, pack),
            log:
                paths_of(f"{LOGS}/contributions/{RUN}.log", pack)[0],
            benchmark:
                paths_of(f"{BENCHMARKS}/contributions/{RUN}.tsv", pack)[0]
            resources:
                gpu=GPUS,
                mem_mb=lambda wildcards, attempt: 8000 * attempt,
            params:
                stage="contributions",
                spec=settings_of_each("contributions", pack),
                code=code_hash("contributions"),
                files=file_options,
            shell:
                COMMAND

    for number, pack in enumerate(packs(stages_of_run, name, is_analysed(COHERENCE)), 1):

        rule:
            name:
                f"coherence_{name}_{number}"
            input:
                contributions=paths_of(CONTRIBUTIONS, pack),
                planned=planned("coherence", pack),
            output:
                coherence=paths_of(COHERENCE, pack),
            log:
                paths_of(f"{LOGS}/coherence/{RUN}.log", pack)[0],
            benchmark:
                paths_of(f"{BENCHMARKS}/coherence/{RUN}.tsv", pack)[0]
            params:
                stage="coherence",
                spec=settings_of_each("coherence", pack),
                code=code_hash("coherence"),
                files=file_options,
            shell:
                COMMAND
