rule gradients:
    input:
        dataset=dataset_of,
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
        **of_stage("gradients"),
    shell:
        COMMAND


# What is measured of all examples, and which results of a run are made from it.
OF_ALL_EXAMPLES = {
    "contributions": (CONTRIBUTIONS, [EXACT_WORLDS, COHERENCE]),
    "bursts": (BURSTS, [BURSTS, EXACT_WORLDS]),
    "displacement": (DISPLACEMENT, [DISPLACEMENT, DISPLACEMENT_WORLDS]),
    "clipping": (CLIPPING, [CLIPPING]),
    "heldout": (HELDOUT, [HELDOUT]),
    "similarity": (SIMILARITY, [SIMILARITY]),
}
for stage, (made, _) in OF_ALL_EXAMPLES.items():

    rule:
        name:
            stage
        input:
            dataset=dataset_of,
            corrupted=labels_of,
            snapshots=SNAPSHOTS,
            planned=planned(stage),
        output:
            **{stage: made},
        log:
            f"{LOGS}/{stage}/{RUN}.log",
        benchmark:
            f"{BENCHMARKS}/{stage}/{RUN}.tsv"
        resources:
            gpu=GPUS,
            mem_mb=lambda wildcards, attempt: 8000 * attempt,
        params:
            **of_stage(stage),
        shell:
            COMMAND


rule twins:
    input:
        dataset=dataset_of,
        original=original_of,
        snapshots=SNAPSHOTS,
        planned=planned("twins"),
    output:
        twins=TWINS,
    log:
        f"{LOGS}/twins/{RUN}.log",
    benchmark:
        f"{BENCHMARKS}/twins/{RUN}.tsv"
    wildcard_constraints:
        experiment=experiments_where(lambda e: e.twin is not None),
    resources:
        gpu=gpus_for_little,
    params:
        **of_stage("twins"),
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
        **of_stage("coherence"),
    shell:
        COMMAND


# The same for packs of runs, as in train.smk.
TRAINED = ["data", "corrupt", "train"]
for name in CONFIG.experiments:
    for stage, (made, wanted) in OF_ALL_EXAMPLES.items():
        for number, pack in enumerate(packs([*TRAINED, stage], name, is_analysed(*wanted)), 1):

            rule:
                name:
                    f"{stage}_{name}_{number}"
                input:
                    dataset=dataset_of_pack(pack),
                    corrupted=labels_of_each(pack),
                    snapshots=paths_of(SNAPSHOTS, pack),
                    planned=planned(stage, pack),
                output:
                    **{stage: paths_of(made, pack)},
                log:
                    paths_of(f"{LOGS}/{stage}/{RUN}.log", pack)[0],
                benchmark:
                    paths_of(f"{BENCHMARKS}/{stage}/{RUN}.tsv", pack)[0]
                resources:
                    gpu=GPUS,
                    mem_mb=lambda wildcards, attempt: 8000 * attempt,
                params:
                    **of_pack(stage, pack),
                shell:
                    COMMAND

    stages_of_run = [*TRAINED, "contributions", "coherence"]
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
                **of_pack("coherence", pack),
            shell:
                COMMAND
