//! Compile errors of the mistakes that users are most likely to make.
//!
//! Each file in `cases` is one mistake, beside the error that the pinned compiler prints. The file names a `remedy` that the error
//! must contain, or says after `no remedy:` why it cannot. An error shows the user's line first and has at most 40 lines; a file
//! whose error is longer gives the reason after `longer:`.
//!
//! After a change, `TRYBUILD=overwrite cargo test -p tower-sse-ui` writes the errors again. Read them. With
//! `--no-default-features` the cases are those of a missing feature.
//!
//! Other compilers word their errors otherwise, so there the test prints a note and passes.

use std::{env, fs, path::Path, process::Command};

/// The compiler whose errors are kept.
const PINNED: &str = "rustc 1.95.0 ";

/// The length of an error that can be read at a glance.
const MAX_LINES: usize = 40;

#[test]
fn compile_errors_point_at_the_line_of_the_user() {
    let folder = Path::new(if cfg!(feature = "axum") { "cases" } else { "without_axum" });
    let compiler = Command::new(env::var_os("RUSTC").unwrap_or("rustc".into())).arg("--version").output();
    let compiler = String::from_utf8(compiler.expect("rustc runs").stdout).expect("rustc prints UTF-8");
    if !compiler.starts_with(PINNED) {
        println!("skipped: the errors are those of {PINNED}, this is {compiler}");
        return;
    }
    let cases = trybuild::TestCases::new();
    cases.compile_fail(folder.join("*.rs"));
    if cfg!(feature = "axum") {
        cases.pass("remedies.rs");
    }
    drop(cases);
    let faults: Vec<_> = fs::read_dir(folder)
        .expect("the folder of the cases is read")
        .map(|entry| entry.expect("the entries are read").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .flat_map(|path| faults(&path))
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Returns the rules that the error of a case breaks.
fn faults(case: &Path) -> Vec<String> {
    let source = fs::read_to_string(case).expect("the case is read");
    let error = fs::read_to_string(case.with_extension("stderr")).expect("the error is kept");
    let note =
        |name: &str| source.lines().find_map(|line| line.strip_prefix("// ")?.strip_prefix(name)?.strip_prefix(": "));
    let mut faults = Vec::new();
    match (note("remedy"), note("no remedy")) {
        (Some(remedy), None) if error.contains(remedy) => {}
        (Some(remedy), None) => faults.push(format!("the error does not contain `{remedy}`")),
        (None, Some(_)) => {}
        _ => faults.push("the case names neither a remedy nor why there is none".into()),
    }
    let shown = error.lines().find_map(|line| line.trim_start().strip_prefix("--> "));
    if !shown.is_some_and(|shown| shown.starts_with(&*case.to_string_lossy())) {
        faults.push(format!("the error shows {} first", shown.unwrap_or("no line")));
    }
    let lines = error.lines().count();
    match note("longer") {
        None if lines > MAX_LINES => faults.push(format!("the error has {lines} lines, more than {MAX_LINES}")),
        Some(_) if lines <= MAX_LINES => faults.push(format!("the error has {lines} lines, which need no exception")),
        _ => {}
    }
    faults.into_iter().map(|fault| format!("{}: {fault}", case.display())).collect()
}
