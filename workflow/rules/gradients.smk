rule gradients:
    input:
        dataset=DATASET,
        corrupted=CORRUPTED,
        snapshots=SNAPSHOTS,
    output:
        gradients=f"{RESULTS}/{RUN}/gradients.nc",
    log:
        f"{LOGS}/gradients/{RUN}.log",
    benchmark:
        f"{BENCHMARKS}/gradients/{RUN}.tsv"
    resources:
        gpu=1 if CONFIG.device == "cuda" else 0,  # so little work that a CPU does it
    params:
        spec=settings("gradients"),
        code=code_hash("gradients"),
    shell:
        "python -m cgpipe gradients --spec {params.spec:q} --code {params.code}"
        " --dataset {input.dataset:q} --corrupted {input.corrupted:q} --snapshots {input.snapshots:q}"
        " --gradients {output.gradients:q} > {log:q} 2>&1"


rule contributions:
    input:
        dataset=DATASET,
        corrupted=CORRUPTED,
        snapshots=SNAPSHOTS,
    output:
        contributions=f"{RESULTS}/{RUN}/contributions.nc",
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
        "python -m cgpipe contributions --spec {params.spec:q} --code {params.code}"
        " --dataset {input.dataset:q} --corrupted {input.corrupted:q} --snapshots {input.snapshots:q}"
        " --contributions {output.contributions:q} > {log:q} 2>&1"


rule coherence:
    input:
        contributions=f"{RESULTS}/{RUN}/contributions.nc",
    output:
        coherence=f"{RESULTS}/{RUN}/coherence.nc",
    log:
        f"{LOGS}/coherence/{RUN}.log",
    benchmark:
        f"{BENCHMARKS}/coherence/{RUN}.tsv"
    params:
        spec=settings("coherence"),
        code=code_hash("coherence"),
    shell:
        "python -m cgpipe coherence --spec {params.spec:q} --code {params.code}"
        " --contributions {input.contributions:q}"
        " --coherence {output.coherence:q} > {log:q} 2>&1"


rule activity:
    input:
        dataset=DATASET,
        snapshots=SNAPSHOTS,
    output:
        activity=ACTIVITY,
    log:
        f"{LOGS}/activity/{RUN}.log",
    benchmark:
        f"{BENCHMARKS}/activity/{RUN}.tsv"
    resources:
        gpu=1 if CONFIG.device == "cuda" else 0,  # so little work that a CPU does it
    params:
        spec=settings("activity"),
        code=code_hash("activity"),
    shell:
        "python -m cgpipe activity --spec {params.spec:q} --code {params.code}"
        " --dataset {input.dataset:q} --snapshots {input.snapshots:q}"
        " --activity {output.activity:q} > {log:q} 2>&1"
