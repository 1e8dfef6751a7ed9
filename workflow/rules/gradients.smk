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
    params:
        spec=settings("gradients"),
        code=code_hash("gradients"),
    shell:
        "python -m cgpipe gradients --spec {params.spec:q} --code {params.code}"
        " --dataset {input.dataset:q} --corrupted {input.corrupted:q} --snapshots {input.snapshots:q}"
        " --gradients {output.gradients:q} > {log:q} 2>&1"
