rule nullworlds:
    input:
        source=GRADIENTS,
        planned=asked("nullworlds", "nullworlds"),
    output:
        nullworlds=WORLDS,
    log:
        f"{LOGS}/nullworlds/{RUN}.log",
    benchmark:
        f"{BENCHMARKS}/nullworlds/{RUN}.tsv"
    params:
        spec=settings("nullworlds", source="sampled"),
        code=code_hash("nullworlds"),
    shell:
        '"$CGPIPE_PYTHON" -I "$CGPIPE_PACKAGE" nullworlds --spec {params.spec:q} --code {params.code}'
        " --source {input.source:q}"
        " --nullworlds {output.nullworlds:q} > {log:q} 2>&1"


use rule nullworlds as nullworlds_exact with:
    input:
        source=CONTRIBUTIONS,
        planned=asked("nullworlds_exact", "nullworlds"),
    output:
        nullworlds=EXACT_WORLDS,
    log:
        f"{LOGS}/nullworlds_exact/{RUN}.log",
    benchmark:
        f"{BENCHMARKS}/nullworlds_exact/{RUN}.tsv"
    params:
        spec=settings("nullworlds", source="exact"),
        code=code_hash("nullworlds"),
