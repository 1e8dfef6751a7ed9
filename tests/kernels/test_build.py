"""The build of the CPU kernel, mostly of sources that compile within a moment."""

import os
import re
import shutil
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest
import torch
from torch.utils import cpp_extension

from cgpipe.kernels import build

GXX = shutil.which("g++")
ODD = [
    "a b",
    "it's",
    'say "so"',
    "$HOME",
    "`id`",
    "é日",
    "back\\slash",
    "a,b",
    "a:b",
    "#a",
    "50%",
    "-o",
    "a;b",
    "@a",
]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache of its own, and sources of one line in the place of the kernel's."""
    sources = tmp_path / "sources"
    sources.mkdir()
    write(sources)
    monkeypatch.setattr(build, "__file__", str(sources / "build.py"))
    monkeypatch.setattr(build, "SOURCES", ("small.cpp",))
    for name in ("CXX", "CPATH", "CPLUS_INCLUDE_PATH", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "cgpipe"


def write(folder, *first):
    lines = [*first, "#include <c10/macros/Macros.h>", "#include <vector>", "int one() { return 1; }"]
    (folder / "small.cpp").write_text("\n".join([*lines, ""]))


def script(path, *lines):
    """A program, such as a compiler that is not what it should be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    path.chmod(0o755)
    return path


def only(cache):
    """The library that is kept, whole, with nothing beside it."""
    (library,) = cache.iterdir()
    assert build._whole(library)
    return library


def failure():
    with pytest.raises(build.BuildError) as raised:
        build.load()
    return str(raised.value)


def test_what_was_compiled_is_sealed_and_taken_the_next_time(cache, monkeypatch):
    library = build.load()
    assert library == only(cache)
    before = library.stat()
    monkeypatch.setenv("CXX", "/nonexistent")
    assert build.load() == library
    assert library.stat() == before


# --- damage ---------------------------------------------------------------------------------------


def flipped(place):
    def damage(content):
        at = int(place * (len(content) - 1))
        return content[:at] + bytes([content[at] ^ 16]) + content[at + 1 :]

    return damage


DAMAGE = {
    "empty": lambda content: b"",
    "one byte": lambda content: content[:1],
    "cut to half": lambda content: content[: len(content) // 2],
    "cut by a byte": lambda content: content[:-1],
    "without its seal": lambda content: content[: -len(build.SEAL) - build.SHA256],
    "a seal alone": lambda content: content[-len(build.SEAL) - build.SHA256 :],
    "zeros": lambda content: bytes(len(content)),
    "zeros in its middle": lambda content: content[:4096] + bytes(4096) + content[8192:],
    "zeros at its end": lambda content: content[:-500] + bytes(500),
    "a bit at its start": flipped(0),
    "a bit in its middle": flipped(0.5),
    "a bit of its seal": flipped(1),
    "something after it": lambda content: content + b"\n",
    "text": lambda content: b"<html>404</html>\n",
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_library_that_is_not_as_it_was_written_is_never_loaded_and_made_again(cache, monkeypatch, name):
    library = build.load()
    good = library.read_bytes()
    library.write_bytes(DAMAGE[name](good))
    loaded = []
    monkeypatch.setattr(torch.ops, "load_library", lambda path: loaded.append(Path(path).read_bytes()))
    assert build.load() == only(cache)
    assert [build.SEAL in content and len(content) == len(good) for content in loaded] == [True]


def test_where_it_is_damaged_and_there_is_no_compiler_it_is_not_loaded(cache, monkeypatch):
    library = build.load()
    library.write_bytes(library.read_bytes()[:5000])
    monkeypatch.setattr(torch.ops, "load_library", lambda path: pytest.fail("it was loaded"))
    monkeypatch.setenv("CXX", "/nonexistent")
    assert "/nonexistent: not found" in failure()


@pytest.mark.parametrize("kind", ["a folder", "a link to nothing"])
def test_what_else_lies_in_its_place(cache, kind):
    library = build.load()
    library.unlink()
    if kind == "a folder":
        library.mkdir()
        with pytest.warns(RuntimeWarning, match=r"for this process alone.*Is a directory"):
            build.load()
    else:
        library.symlink_to("nothing")
        assert build.load() == only(cache)


# --- paths and folders ----------------------------------------------------------------------------


@pytest.mark.parametrize("odd", ODD)
def test_any_path_will_do(tmp_path, monkeypatch, odd):
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path / odd / "cache"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / odd / "tmp"))
    sources = tmp_path / odd / "sources"
    sources.mkdir(parents=True)
    write(sources)
    monkeypatch.setattr(build, "__file__", str(sources / "build.py"))
    # As if the virtual environment lay there.
    (tmp_path / odd / "torch").symlink_to(Path(torch.__file__).parent)
    for name, below in (("include_paths", "include"), ("library_paths", "lib")):
        monkeypatch.setattr(cpp_extension, name, lambda below=below: [str(tmp_path / odd / "torch" / below)])
    # And the compiler.
    monkeypatch.setenv(
        "CXX", str(script(tmp_path / odd / "g++", f'exec {GXX} "$@"')) if odd != "it's" else GXX
    )
    assert build.load() == only(tmp_path / odd / "cache" / "cgpipe")


def test_the_cache_is_where_the_environment_says(tmp_path, monkeypatch):
    extensions = tmp_path / "cache"
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert build._cache() == extensions / "cgpipe"
    monkeypatch.delenv("TORCH_EXTENSIONS_DIR")
    assert build._cache() == tmp_path / "xdg" / "torch_extensions" / "cgpipe"
    for unset in ("", "relative"):  # which the standard says to pass over
        monkeypatch.setenv("XDG_CACHE_HOME", unset)
        assert build._cache() == tmp_path / "home" / ".cache" / "torch_extensions" / "cgpipe"
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", "~/mine")
    assert build._cache() == tmp_path / "home" / "mine" / "cgpipe"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", "")
    assert build._cache() == tmp_path / "home" / ".cache" / "torch_extensions" / "cgpipe"


def test_a_home_that_cannot_be_written_is_no_obstacle_where_the_cache_is_elsewhere(tmp_path, monkeypatch):
    (tmp_path / "home").touch()
    monkeypatch.delenv("TORCH_EXTENSIONS_DIR")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert build.load() == only(tmp_path / "xdg" / "torch_extensions" / "cgpipe")


def test_where_it_cannot_be_kept_it_is_compiled_for_this_process_and_this_is_told(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path / "file" / "below"))
    with pytest.warns(RuntimeWarning) as said:
        library = build.load()
    assert not library.exists()
    (message,) = [str(warning.message) for warning in said]
    for words in ("for this process alone", "Not a directory", "Set TORCH_EXTENSIONS_DIR to a folder"):
        assert words in message
    assert "nstall a" not in message


def test_without_a_home_it_is_compiled_for_this_process(monkeypatch):
    monkeypatch.delenv("TORCH_EXTENSIONS_DIR")
    monkeypatch.setattr(Path, "expanduser", refuse(RuntimeError("Could not determine home directory.")))
    with pytest.warns(RuntimeWarning, match="Could not determine home directory"):
        build.load()


def refuse(error):
    def function(*_, **__):
        raise error

    return function


def loading_fails_in(folder, monkeypatch):
    loaded = []

    def load(path):
        if Path(path).is_relative_to(folder):
            raise OSError(f"{path}: failed to map segment from shared object")
        assert build._whole(Path(path))
        loaded.append(path)

    monkeypatch.setattr(torch.ops, "load_library", load)
    return loaded


@pytest.mark.parametrize("kept", [False, True])
def test_from_a_cache_that_is_noexec_a_copy_is_loaded(cache, monkeypatch, kept):
    if kept:
        build.load()
        monkeypatch.setenv("CXX", "/nonexistent")
    loaded = loading_fails_in(cache, monkeypatch)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = build.load()
    assert loaded == [found]
    only(cache)
    assert not found.exists()


def test_a_kept_library_that_loads_nowhere_here_is_compiled_for_this_process(tmp_path, cache, monkeypatch):
    kept = build.load()
    content = kept.read_bytes()
    opened = []
    write(tmp_path / "sources", "int compiled_here() { return 1; }")
    digest = kept.stem.rsplit("-")[-1]
    monkeypatch.setattr(build, "_digest", lambda: digest)

    def load(path):
        opened.append(Path(path))
        if Path(path).read_bytes() == content:
            raise OSError("version GLIBCXX_9 not found")

    monkeypatch.setattr(torch.ops, "load_library", load)
    with pytest.warns(RuntimeWarning, match="GLIBCXX_9 not found"):
        assert build.load() == opened[-1]
    assert opened[0] == kept
    assert {path.name for path in opened[1:]} == {"private.so"}


def test_of_the_temporary_folders_one_that_is_not_noexec_is_found(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    (tmp_path / "here").mkdir()
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path / "file" / "below"))
    monkeypatch.chdir(tmp_path / "here")
    tried = []

    def load(path):
        tried.append(Path(path))
        if not Path(path).is_relative_to(tmp_path / "here"):
            raise OSError(f"{path}: failed to map segment from shared object")

    monkeypatch.setattr(torch.ops, "load_library", load)
    with pytest.warns(RuntimeWarning, match="for this process alone"):
        assert build.load() == tried[-1]
    assert len(tried) > 1
    assert list((tmp_path / "here").iterdir()) == []


def test_where_nothing_can_be_loaded_from_any_folder_this_is_told(monkeypatch):
    loading_fails_in("/", monkeypatch)
    said = failure()
    assert len(said) < 1000
    assert "failed to map segment" in said
    assert "noexec" in said
    assert "nstall a" not in said


@pytest.mark.parametrize("kind", ["nowhere", "a file"])
def test_a_tmpdir_that_cannot_be_written_is_not_used(tmp_path, cache, monkeypatch, kind):
    (tmp_path / "a file").touch()
    monkeypatch.setenv("TMPDIR", str(tmp_path / kind))
    assert build.load() == only(cache)


def test_the_compiler_puts_its_files_beside_the_library(tmp_path, cache, monkeypatch):
    compiler = script(tmp_path / "g++", f'echo "$TMPDIR" > {tmp_path}/said', f'exec {GXX} "$@"')
    monkeypatch.setenv("CXX", str(compiler))
    build.load()
    assert Path((tmp_path / "said").read_text().strip()).parent == cache


def test_where_the_disk_of_the_cache_is_full_it_is_compiled_elsewhere(tmp_path, cache, monkeypatch):
    full = "echo 'small.s: fatal error: error writing to x.o: No space left on device'; exit 1"
    monkeypatch.setenv(
        "CXX", str(script(tmp_path / "g++", f'case "$PWD" in {cache}*) {full};; esac', f'exec {GXX} "$@"'))
    )
    with pytest.warns(RuntimeWarning, match=r"No space left on device.*has room"):
        build.load()
    assert list(cache.iterdir()) == []


# --- compilers ------------------------------------------------------------------------------------


UNFIT = {
    "too old": (
        "echo \"g++: error: unrecognized command line option '-std=c++20'\" >&2; exit 1",
        r"'-std=c\+\+20'.*too old",
    ),
    "of C": ('echo "cc1: error: C++ is not for me"; exit 1', r"C\+\+ is not for me"),
    "halfway": (
        "while [ $1 != -o ]; do shift; done; echo half > $2; echo assembler error; exit 3",
        "assembler error",
    ),
    "half, and well": ("while [ $1 != -o ]; do shift; done; echo half > $2", "made no library"),
    "true": ("exit 0", "made no library"),
    "silent": ("exit 7", "exit status 7, without a word"),
    "wordy": ("for i in $(seq 500); do echo note $i; done; echo fatal error: no; exit 1", "fatal error: no"),
    "killed": ("kill -9 $$", "killed by SIGKILL.*give the job more"),
    "without OpenMP": ("echo '/usr/bin/ld: cannot find -lgomp'; exit 1", "cannot find -lgomp.*lacks a part"),
    "not text": ("printf '\\377\\376 error \\200\\n'; exit 1", "error"),
}


@pytest.mark.parametrize("name", UNFIT)
def test_a_compiler_that_fails_is_told_in_its_own_words(tmp_path, cache, monkeypatch, name):
    lines, reason = UNFIT[name]
    compiler = script(tmp_path / "bin" / "g++", lines)
    monkeypatch.setenv("CXX", str(compiler))
    said = failure()
    assert str(compiler) in said
    assert re.search(reason, said)
    assert "nstall a" not in said
    assert len(said) < 1500
    assert list(cache.iterdir()) == []


def test_a_program_that_is_none(tmp_path, monkeypatch):
    (tmp_path / "g++").write_bytes(b"\x00\x01 no program")
    (tmp_path / "g++").chmod(0o755)
    monkeypatch.setenv("CXX", str(tmp_path / "g++"))
    assert "cannot be run (Exec format error)" in failure()


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("/nonexistent", "'/nonexistent', but /nonexistent: not found"),
        ("ccache-that-is-not-there g++", "but ccache-that-is-not-there: not found"),
        ("/etc", "/etc: not found, or not to be run"),
        ("/etc/passwd", "/etc/passwd: not found, or not to be run"),
        ("g++ '", "no command (No closing quotation)"),
        ("''", "not found"),
    ],
)
def test_a_cxx_that_names_no_compiler_is_told_and_what_to_do(monkeypatch, given, reason):
    monkeypatch.setenv("CXX", given)
    said = failure()
    assert reason in said
    assert "nset" in said
    assert "CXX" in said


@pytest.mark.parametrize("given", ["", " ", "gcc", "g++ -O0 -std=c++11", "env LANGUAGE=de g++", "  g++  "])
def test_a_cxx_that_will_do(cache, monkeypatch, given):
    monkeypatch.setenv("CXX", given)
    assert build.load() == only(cache)


def test_a_cxx_of_several_words_is_a_command(tmp_path, cache, monkeypatch):
    script(tmp_path / "bin" / "ccache", f'[ "$CCACHE_DISABLE" ] && echo "$1" > {tmp_path}/said', 'exec "$@"')
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    monkeypatch.setenv("CXX", "ccache g++")
    assert build.load() == only(cache)
    assert (tmp_path / "said").read_text() == "g++\n"


def test_flags_in_cxx_neither_narrow_where_it_runs_nor_loosen_the_arithmetic(tmp_path, cache, monkeypatch):
    monkeypatch.setattr(build, "INSTRUCTIONS", {})
    wrong = (
        "#if defined(__AVX2__) || defined(__FAST_MATH__) || __cplusplus < 202002L",
        "#error wrong",
        "#endif",
    )
    write(tmp_path / "sources", *wrong)
    monkeypatch.setenv("CXX", "g++ -march=haswell -ffast-math -std=c++11")
    assert build.load() == only(cache)


def test_without_a_compiler_it_says_to_install_one(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    said = failure()
    assert "not found on the PATH" in said
    assert "apt install g++" in said


def test_of_the_compilers_that_are_there_one_that_will_do_is_found(tmp_path, cache, monkeypatch):
    for name in ("c++", "g++"):
        script(tmp_path / "bin" / name, "echo error: too old; exit 1")
    script(tmp_path / "bin" / "clang++", f'exec {GXX} "$@"')
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    assert build.load() == only(cache)


def test_ninja_is_not_needed(tmp_path, cache, monkeypatch):
    for name in ("c++", "as", "ld"):
        script(tmp_path / "bin" / name, f'exec {shutil.which(name)} "$@"')
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert build.load() == only(cache)


POISON = {
    **dict.fromkeys(("CPATH", "CPLUS_INCLUDE_PATH"), "{poison}"),
    "LD_LIBRARY_PATH": "{poison}",
    "LIBRARY_PATH": "{poison}",
    "COMPILER_PATH": "{poison}",
    "GCC_EXEC_PREFIX": "{poison}/",
    "LD_PRELOAD": "{poison}/libc10.so",
    "CC": "/nonexistent",
    "CXXFLAGS": "-std=c++98 --no-such-option",
    "CFLAGS": "--no-such-option",
    "CPPFLAGS": "--no-such-option",
    "LDFLAGS": "-lnone",
    "DEPENDENCIES_OUTPUT": "/nonexistent/x",
    "CCACHE_DIR": "/dev/null",
    "LC_ALL": "C",
    "MAX_JOBS": "none",
    "PYTORCH_NVCC": "/nonexistent",
}


@pytest.mark.parametrize("variable", POISON)
def test_variables_that_steer_compilers_are_no_obstacle(tmp_path, cache, monkeypatch, variable):
    poison = tmp_path / "poison"
    poison.mkdir()
    (poison / "vector").write_text("#error poison\n")
    for name in ("libc10.so", "libgomp.so", "libmpfr.so.6", "libz.so.1"):
        (poison / name).write_text("poison")
    for name in ("as", "ld", "cc1plus", "collect2"):
        script(poison / name, "echo error: poison; exit 1")
    monkeypatch.setenv(variable, POISON[variable].format(poison=poison))
    assert build.load() == only(cache)


def test_a_variable_that_the_compiler_needs_is_left(tmp_path, cache, monkeypatch):
    (tmp_path / "needed").mkdir()
    (tmp_path / "needed" / "needed.h").touch()
    write(tmp_path / "sources", "#include <needed.h>")
    monkeypatch.setenv("CPATH", str(tmp_path / "needed"))
    assert build.load() == only(cache)


def test_a_compiler_that_hangs_is_ended_with_all_its_processes(tmp_path, monkeypatch):
    compiler = script(tmp_path / "g++", f"sleep 1000 & echo $! > {tmp_path}/pid; wait")
    monkeypatch.setenv("CXX", str(compiler))
    monkeypatch.setattr(build, "SECONDS_TO_COMPILE", 0.5)
    assert "it had not ended after" in failure()
    pid = int((tmp_path / "pid").read_text())
    for _ in range(100):
        state = Path(f"/proc/{pid}/stat")
        if not state.exists() or state.read_text().split()[2] == "Z":
            return
        time.sleep(0.05)
    pytest.fail("it still runs")


# --- several --------------------------------------------------------------------------------------

BOTH = """
import sys
from cgpipe.kernels import build
build.__file__, build.SOURCES = sys.argv[1], ("small.cpp",)
print(build.load())
"""


def test_two_that_compile_at_once_do_not_disturb_each_other(tmp_path, cache):
    command = [sys.executable, "-W", "error", "-c", BOTH, build.__file__]
    running = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(3)
    ]
    said = [process.communicate() for process in running]
    assert [process.returncode for process in running] == [0] * 3, said
    assert {out.strip() for out, _ in said} == {str(only(cache))}


def test_the_words_of_the_linker_are_told(tmp_path):
    (tmp_path / "x.so").write_text("no library")
    with pytest.raises(OSError, match=r"x\.so: (file too short|invalid ELF header)"):
        build._open(tmp_path / "x.so")


def test_machines_that_share_the_cache_have_libraries_of_their_own(cache, monkeypatch):
    build.load()
    monkeypatch.setattr(build.platform, "machine", lambda: "other")
    build.load()
    monkeypatch.setattr(build.os, "confstr", lambda _: "glibc 9")
    build.load()
    assert len(list(cache.iterdir())) == 3
