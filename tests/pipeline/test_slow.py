from cgpipe.pipeline.slow import slow_ways

HEAD = "experiment,noise,winsor,replicate,first_step,last_step,device,kernel,threads,gpu_idle\n"


def said(tmp_path, rows):
    table = tmp_path / "runs.csv"
    table.write_text(HEAD + rows)
    return slow_ways(table)


def test_nothing_is_said_of_what_was_made_as_it_should_be_or_not_at_all(tmp_path):
    assert said(tmp_path, "a,0.5,2,0,1,9,cpu,AVX2,1,False\na,0.5,0,0,1,9,cpu,torch,1,False\n") == []
    assert said(tmp_path, "") == []
    assert slow_ways(tmp_path / "other.csv") == []


def test_runs_are_counted_once_whatever_parts_they_have(tmp_path):
    rows = (
        "a,0.5,2,0,1,4,cpu,AVX2,1,False\n"
        "a,0.5,2,0,5,9,cpu,reference,1,False\n"
        "a,0.5,2,1,1,4,cpu,reference,1,False\n"
        "a,0.5,2,1,5,9,cpu,reference,2,True\n"
        "b,0.5,2,1,1,9,cuda,triton,1,False\n"
    )
    sorting, idle = said(tmp_path, rows)
    assert sorting.startswith("2 of 3 runs were made, in part at least, by sorting")
    assert idle.startswith("1 of 3 runs were made, in part at least, on the CPU of a job that held a GPU")
