rule nullworlds:
    input:
        source=f"{RESULTS}/{RUN}/gradients.nc",
    output:
        nullworlds=f"{RESULTS}/{RUN}/nullworlds.nc",
    log:
        f"{LOGS}/nullworlds/{RUN}.log",
    benchmark:
        f"{BENCHMARKS}/nullworlds/{RUN}.tsv"
    params:
        spec=settings("nullworlds", source="sampled"),
        code=code_hash("nullworlds"),
    shell:
        "python -m cgpipe nullworlds --spec {params.spec:q} --code {params.code}"
        " --source {input.source:q}"
        " --nullworlds {output.nullworlds:q} > {log:q} 2>&1"


use rule nullworlds as nullworlds_exact with:
    input:
        source=f"{RESULTS}/{RUN}/contributions.nc",
    output:
        nullworlds=f"{RESULTS}/{RUN}/nullworlds_exact.nc",
    log:
        f"{LOGS}/nullworlds_exact/{RUN}.log",
    benchmark:
        f"{BENCHMARKS}/nullworlds_exact/{RUN}.tsv"
    params:
        spec=settings("nullworlds", source="exact"),
        code=code_hash("nullworlds"),
