rule gradients:
    input:
        dataset=DATASET,
        corrupted=CORRUPTED,
        snapshots=SNAPSHOTS,
        planned=asked("gradients", "gradients"),
    output:
        gradients=GRADIENTS,
    log:
        f"{LOGS}/gradients/{RUN}.log",
    benchmark:
        f"{BENCHMARKS}/gradients/{RUN}.tsv"
    resources:
        gpu=gpus_for_little,
    params:
        spec=settings("gradients"),
        code=code_hash("gradients"),
    shell:
        '"$CGPIPE_PYTHON" -I "$CGPIPE_PACKAGE" gradients --spec {params.spec:q} --code {params.code}'
        " --dataset {input.dataset:q} --corrupted {input.corrupted:q} --snapshots {input.snapshots:q}"
        " --gradients {output.gradients:q} > {log:q} 2>&1"


rule contributions:
    input:
        dataset=DATASET,
        corrupted=CORRUPTED,
        snapshots=SNAPSHOTS,
        planned=asked("contributions", "contributions"),
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
        spec=settings("contributions"),
        code=code_hash("contributions"),
    shell:
        '"$CGPIPE_PYTHON" -I "$CGPIPE_PACKAGE" contributions --spec {params.spec:q} --code {params.code}'
        " --dataset {input.dataset:q} --corrupted {input.corrupted:q} --snapshots {input.snapshots:q}"
        " --contributions {output.contributions:q} > {log:q} 2>&1"


rule coherence:
    input:
        contributions=CONTRIBUTIONS,
        planned=asked("coherence", "coherence"),
    output:
        coherence=COHERENCE,
    log:
        f"{LOGS}/coherence/{RUN}.log",
    benchmark:
        f"{BENCHMARKS}/coherence/{RUN}.tsv"
    params:
        spec=settings("coherence"),
        code=code_hash("coherence"),
    shell:
        '"$CGPIPE_PYTHON" -I "$CGPIPE_PACKAGE" coherence --spec {params.spec:q} --code {params.code}'
        " --contributions {input.contributions:q}"
        " --coherence {output.coherence:q} > {log:q} 2>&1"


rule activity:
    input:
        dataset=DATASET,
        snapshots=SNAPSHOTS,
        planned=asked("activity", "activity"),
    output:
        activity=ACTIVITY,
    log:
        f"{LOGS}/activity/{RUN}.log",
    benchmark:
        f"{BENCHMARKS}/activity/{RUN}.tsv"
    resources:
        gpu=gpus_for_little,
    params:
        spec=settings("activity"),
        code=code_hash("activity"),
    shell:
        '"$CGPIPE_PYTHON" -I "$CGPIPE_PACKAGE" activity --spec {params.spec:q} --code {params.code}'
        " --dataset {input.dataset:q} --snapshots {input.snapshots:q}"
        " --activity {output.activity:q} > {log:q} 2>&1"
