//! libedictum as C programs see it: a program in C uses all of it, under the address sanitizer where the compiler has one.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use edictum_tests::places;

// So that it is built before this is run.
use edictum as _;

/// Beside the binaries of these tests.
fn library() -> PathBuf {
    let this = std::env::current_exe().unwrap();
    let name = format!("{}edictum{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    this.parent().unwrap().join(name)
}

fn compile(sanitize: bool, to: &Path) -> Output {
    let library = library();
    let folder = library.parent().unwrap();
    let mut compiler = Command::new("cc");
    compiler.args([
        "-std=c11",
        "-D_GNU_SOURCE",
        "-Wall",
        "-Wextra",
        "-Wno-overlength-strings",
        "-Werror",
        "-g",
        "-pthread",
    ]);
    if sanitize {
        compiler.arg("-fsanitize=address,undefined");
    }
    compiler.arg("-I").arg(places::workspace().join("host/libedictum/include"));
    compiler.arg(places::workspace().join("tests/c/libedictum.c"));
    compiler.arg(&library).arg(format!("-Wl,-rpath,{}", folder.display())).arg("-o").arg(to);
    compiler.output().expect("a C compiler is there, for SQLite needs one, too")
}

#[test]
fn a_c_program_uses_all_of_it_and_leaks_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("program");
    let sanitized = compile(true, &program).status.success();
    if !sanitized {
        let compiled = compile(false, &program);
        assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    }
    // The engine uses signals of its own.
    let run = Command::new(&program)
        .env("ASAN_OPTIONS", "allow_user_segv_handler=1:handle_segv=0:handle_sigill=0:handle_sigfpe=0:detect_leaks=1")
        .env("UBSAN_OPTIONS", "print_stacktrace=1:halt_on_error=1")
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success(), "{:?}\n{out}\n{err}", run.status);
    let checks: u32 = out.split_whitespace().next().unwrap().parse().unwrap();
    assert!(checks > 2_500, "{out}");
}

#[test]
fn the_header_is_c_plus_plus_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("program.cpp");
    std::fs::write(
        &source,
        "#include \"edictum.h\"\nint main() { return edictum_abi_version() - EDICTUM_ABI_VERSION; }\n",
    )
    .unwrap();
    let compiled = Command::new("c++")
        .args(["-fsyntax-only", "-Wall", "-Wextra", "-Werror"])
        .arg("-I")
        .arg(places::workspace().join("host/libedictum/include"))
        .arg(&source)
        .output();
    // There may be a C compiler alone.
    let Ok(compiled) = compiled else { return };
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
}
