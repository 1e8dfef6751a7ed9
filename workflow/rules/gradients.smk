rule gradients:
    input:
        dataset=DATASET,
        corrupted=labels_of(),
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
        corrupted=labels_of(),
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
