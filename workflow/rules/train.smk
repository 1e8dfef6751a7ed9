# For a cluster; a run that is cut off goes on from its checkpoint. The sizes of the paper take less on a GPU.
TRAINING_MINUTES = 240


# The checkpoint of a run lies beside these outputs, undeclared: Snakemake removes the outputs of a
# failed job, and the next attempt goes on from the checkpoint.
rule train:
    input:
        dataset=DATASET,
        corrupted=labels_of(),
        planned=planned("train"),
    output:
        history=HISTORY,
        snapshots=SNAPSHOTS,
    log:
        f"{LOGS}/train/{RUN}.log",
    benchmark:
        f"{BENCHMARKS}/train/{RUN}.tsv"
    wildcard_constraints:
        experiment=experiments_where(lambda e: e.snapshots and not e.together),
    # Two runs of one thread each get further than one after the other on two (docs/performance.md).
    threads: 1
    resources:
        gpu=GPUS,
        runtime=minutes(TRAINING_MINUTES),
    params:
        stage="train",
        spec=settings("train"),
        code=code_hash("train"),
        files=training_options,
    shell:
        COMMAND


use rule train as train_without_snapshots with:
    input:
        dataset=DATASET,
        corrupted=labels_of(),
        planned=planned("train_without_snapshots"),
    output:
        history=HISTORY,
    wildcard_constraints:
        experiment=experiments_where(lambda e: not e.snapshots and not e.together),


# Where runs take seconds, one job trains all levels of winsorization: the start of a process would
# take as long as a run.
for name, experiment in CONFIG.experiments.items():
    if experiment.together:

        rule:
            name:
                f"train_{name}_together"
            input:
                dataset=DATASET,
                corrupted=labels_of(name),
                planned=planned(f"train_{name}_together"),
            output:
                [
                    all_levels(HISTORY, name),
                    all_levels(SNAPSHOTS, name) if experiment.snapshots else [],
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
                stage="train",
                spec=settings("train_together", experiment=name),
                code=code_hash("train"),
                files=training_options,
            shell:
                COMMAND
