rule nullworlds:
    input:
        gradients=f"{RESULTS}/{RUN}/gradients.nc",
    output:
        nullworlds=f"{RESULTS}/{RUN}/nullworlds.nc",
    log:
        f"{LOGS}/nullworlds/{RUN}.log",
    benchmark:
        f"{BENCHMARKS}/nullworlds/{RUN}.tsv"
    params:
        spec=settings("nullworlds"),
        code=code_hash("nullworlds"),
    shell:
        "python -m cgpipe nullworlds --spec {params.spec:q} --code {params.code}"
        " --gradients {input.gradients:q}"
        " --nullworlds {output.nullworlds:q} > {log:q} 2>&1"
