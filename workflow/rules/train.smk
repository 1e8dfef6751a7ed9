# The checkpoint of a run lies beside these outputs, undeclared: Snakemake removes the outputs of a
# failed job, and the next attempt goes on from the checkpoint.
rule train:
    input:
        dataset=DATASET,
        corrupted=CORRUPTED,
    output:
        history=f"{RESULTS}/{RUN}/history.nc",
        snapshots=f"{RESULTS}/{RUN}/snapshots.safetensors",
    log:
        f"{LOGS}/train/{RUN}.log",
    benchmark:
        f"{BENCHMARKS}/train/{RUN}.tsv"
    wildcard_constraints:
        experiment="|".join(KEEPING) or "(?!)",
    params:
        spec=settings("train"),
        code=code_hash("train"),
        keep=lambda wildcards, output: (
            f"--snapshots {shlex.quote(output.snapshots)}" if len(output) > 1 else ""
        ),
    shell:
        "python -m cgpipe train --spec {params.spec:q} --code {params.code}"
        " --dataset {input.dataset:q} --corrupted {input.corrupted:q}"
        " --history {output.history:q} {params.keep} > {log:q} 2>&1"


use rule train as train_without_snapshots with:
    output:
        history=f"{RESULTS}/{RUN}/history.nc",
    wildcard_constraints:
        experiment="|".join(sorted(set(CONFIG.experiments) - set(KEEPING))) or "(?!)",
