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
        bursts=BURSTS,
        planned=planned("nullworlds_exact"),
    output:
        nullworlds=EXACT_WORLDS,
    log:
        f"{LOGS}/nullworlds_exact/{RUN}.log",
    benchmark:
        f"{BENCHMARKS}/nullworlds_exact/{RUN}.tsv"
    params:
        spec=settings("nullworlds", source="exact"),


use rule nullworlds as nullworlds_displacement with:
    input:
        source=DISPLACEMENT,
        planned=planned("nullworlds_displacement"),
    output:
        nullworlds=DISPLACEMENT_WORLDS,
    log:
        f"{LOGS}/nullworlds_displacement/{RUN}.log",
    benchmark:
        f"{BENCHMARKS}/nullworlds_displacement/{RUN}.tsv"
    params:
        spec=settings("nullworlds", source="displacement"),
