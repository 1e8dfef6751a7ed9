rule nullworlds:
    input:
        source=GRADIENTS,
        planned=planned("nullworlds"),
    output:
        nullworlds=WORLDS,
    log:
        f"{LOGS}/nullworlds/{RUN}.log",
    benchmark:
        f"{BENCHMARKS}/nullworlds/{RUN}.tsv"
    params:
        **of_stage("nullworlds", source="sampled"),
    shell:
        COMMAND


use rule nullworlds as nullworlds_exact with:
    input:
        source=CONTRIBUTIONS,
        planned=planned("nullworlds_exact"),
    output:
        nullworlds=EXACT_WORLDS,
    log:
        f"{LOGS}/nullworlds_exact/{RUN}.log",
    benchmark:
        f"{BENCHMARKS}/nullworlds_exact/{RUN}.tsv"
    params:
        spec=settings("nullworlds", source="exact"),
