# For a cluster; a run that is cut off goes on from its checkpoint. The sizes of the paper take less on a GPU.
TRAINING_MINUTES = 240


# The checkpoint of a run lies beside these outputs, undeclared: Snakemake removes the outputs of a
# failed job, and the next attempt goes on from the checkpoint.
rule train:
    input:
        dataset=dataset_of,
        corrupted=labels_of,
        start=start_of,
        planned=planned("train"),
    output:
        history=HISTORY,
        snapshots=SNAPSHOTS,
    log:
        f"{LOGS}/train/{RUN}.log",
    benchmark:
        f"{BENCHMARKS}/train/{RUN}.tsv"
    wildcard_constraints:
        experiment=experiments_where(lambda e: e.snapshots),
    # Two runs of one thread each get further than one after the other on two (docs/performance.md).
    threads: 1
    resources:
        gpu=GPUS,
        runtime=minutes(TRAINING_MINUTES),
    params:
        **of_stage("train", files=training_options),
    shell:
        COMMAND


use rule train as train_without_snapshots with:
    input:
        dataset=dataset_of,
        corrupted=labels_of,
        start=start_of,
        planned=planned("train_without_snapshots"),
    output:
        history=HISTORY,
    wildcard_constraints:
        experiment=experiments_where(lambda e: not e.snapshots),


# Runs that are to be trained, several in one job. Each is known by its own record, whatever made it: so packs are of
# those alone that are not done, and their jobs read and note no more than jobs of one run.
for name, experiment in CONFIG.experiments.items():
    one_run = "train" if experiment.snapshots else "train_without_snapshots"
    for number, pack in enumerate(packs(["data", "corrupt", one_run], name), 1):

        rule:
            name:
                f"train_{name}_{number}"
            input:
                dataset=dataset_of_pack(pack),
                corrupted=labels_of_each(pack),
                start=start_of_each(pack),
                planned=planned(one_run, pack),
            output:
                [
                    paths_of(HISTORY, pack),
                    paths_of(SNAPSHOTS, pack) if experiment.snapshots else [],
                ],
            # Those of its first run.
            log:
                paths_of(f"{LOGS}/train/{RUN}.log", pack)[0],
            benchmark:
                paths_of(f"{BENCHMARKS}/train/{RUN}.tsv", pack)[0]
            threads: 1
            resources:
                gpu=GPUS,
                # On a GPU, a pack takes little longer than a run.
                runtime=minutes(TRAINING_MINUTES * (1 if GPUS else len(pack))),
            params:
                **of_pack("train", pack, files=training_options),
            shell:
                COMMAND
