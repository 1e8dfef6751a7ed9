# Coherent Gradients, from raw data to the figures. An index: the stages are in workflow/rules/,
# what they compute in cgpipe/, the settings in config/ (see config/README.md).
from snakemake.utils import min_version

min_version("9.11")


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"


rule all:
    default_target: True
    input:
        [path for figure in plan.all_figures(CONFIG) for path in figure_files(figure)],
        [CLAIMS, f"{RESULTS}/claims.csv", f"{RESULTS}/verdicts.csv"] if CONFIG.claims else [],
        [MYSTERY, f"{RESULTS}/mystery.csv", f"{RESULTS}/mystery_verdicts.csv"] if CONFIG.mystery else [],
        [path for run in plan.all_runs(CONFIG) for path in training_files(run)],
        # Labels that are chosen by it do not say which runs it was made from.
        paths_of_difficulty(),
        RUNS,
    localrule: True


include: "workflow/rules/data.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/runs.smk"
include: "workflow/rules/gradients.smk"
include: "workflow/rules/nullworlds.smk"
include: "workflow/rules/claims.smk"
include: "workflow/rules/mystery.smk"
include: "workflow/rules/figures.smk"
