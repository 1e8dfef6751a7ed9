# For a cluster; a run that is cut off goes on from its checkpoint. The sizes of the paper take less on a GPU.
TRAINING_MINUTES = 240


# The checkpoint of a run lies beside these outputs, undeclared: Snakemake removes the outputs of a
# failed job, and the next attempt goes on from the checkpoint.
rule train:
    input:
        dataset=DATASET,
        corrupted=CORRUPTED,
        planned=asked("train", "train"),
    output:
        history=HISTORY,
        snapshots=SNAPSHOTS,
    log:
        f"{LOGS}/train/{RUN}.log",
    benchmark:
        f"{BENCHMARKS}/train/{RUN}.tsv"
    wildcard_constraints:
        experiment=one_of(lambda of: of.snapshots and not of.together),
    # Two runs of one thread each get further than one after the other on two (docs/performance.md).
    threads: 1
    resources:
        gpu=GPUS,
        runtime=minutes(TRAINING_MINUTES),
    params:
        spec=settings("train"),
        code=code_hash("train"),
        folders=run_folders,
    shell:
        '"$CGPIPE_PYTHON" -I "$CGPIPE_PACKAGE" train --spec {params.spec:q} --code {params.code}'
        " --dataset {input.dataset:q} --corrupted {input.corrupted:q}"
        " {params.folders:q} > {log:q} 2>&1"


use rule train as train_without_snapshots with:
    input:
        dataset=DATASET,
        corrupted=CORRUPTED,
        planned=asked("train_without_snapshots", "train"),
    output:
        history=HISTORY,
    wildcard_constraints:
        experiment=one_of(lambda of: not of.snapshots and not of.together),


# Where runs take seconds, one job trains all levels of winsorization: the start of a process would
# take as long as a run.
for name, of in CONFIG.experiments.items():
    if of.together:

        rule:
            name:
                f"train_{name}_together"
            input:
                dataset=DATASET,
                corrupted=CORRUPTED,
                planned=asked(f"train_{name}_together", "train"),
            output:
                [
                    of_levels(HISTORY, name),
                    of_levels(SNAPSHOTS, name) if of.snapshots else [],
                ],
            log:
                f"{LOGS}/train/{name}/noise-{{noise}}/replicate-{{replicate}}.log",
            benchmark:
                f"{BENCHMARKS}/train/{name}/noise-{{noise}}/replicate-{{replicate}}.tsv"
            threads: 1
            resources:
                gpu=GPUS,
                runtime=minutes(TRAINING_MINUTES),
            params:
                spec=settings("train_together", experiment=name),
                code=code_hash("train"),
                folders=run_folders,
            shell:
                '"$CGPIPE_PYTHON" -I "$CGPIPE_PACKAGE" train --spec {params.spec:q} --code {params.code}'
                " --dataset {input.dataset:q} --corrupted {input.corrupted:q}"
                " {params.folders:q} > {log:q} 2>&1"
