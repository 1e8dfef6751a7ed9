# The claims of the paper, tested on all runs that they are about.
if CONFIG.claims:

    rule claims:
        input:
            label_noise=claim_files("label_noise", HISTORY, plain=True),
            coherence=claim_files("label_noise", COHERENCE, plain=True),
            sampled=claim_files("label_noise", WORLDS, plain=True),
            exact=claim_files("label_noise", EXACT_WORLDS, plain=True, mixed=True),
            displacement=claim_files("label_noise", DISPLACEMENT_WORLDS, plain=True, mixed=True),
            bursts=claim_files("label_noise", BURSTS, plain=True),
            winsorization=claim_files("winsorization", HISTORY),
            full_batch=claim_files("full_batch", HISTORY, plain=True),
            minibatch=claim_files("minibatch", HISTORY, plain=True),
            planned=planned("claims"),
        output:
            claims=CLAIMS,
            table=report(
                f"{RESULTS}/claims.csv",
                **in_report("claims", "Claims", "The claims of the paper: statistics in each replicate"),
            ),
            verdicts=report(
                f"{RESULTS}/verdicts.csv",
                **in_report("claims", "Claims", "The claims of the paper: verdicts"),
            ),
        log:
            f"{LOGS}/claims.log",
        benchmark:
            f"{BENCHMARKS}/claims.tsv"
        localrule: True
        params:
            **of_stage("claims"),
        shell:
            COMMAND
