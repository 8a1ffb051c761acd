//! The arrows of the design: which module may use which, which crate may appear where, what lies at the top.
//!
//! Reads source text, not types: a path it cannot see (a macro that writes paths) is not caught.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The modules in the order of the design: each may use those before it (filing names files by the directory's digest,
/// so `records` comes after `directory`). The first group is pure. `clock`, `config`
/// and `telemetry` stand early because every module that does IO may read the time, take a setting or count.
const ORDER: [&str; 21] = [
    "model",
    "transfer",
    "extract",
    "disclosure",
    "packet",
    "clock",
    "config",
    "telemetry",
    "store",
    "engine",
    "directory",
    "records",
    "transport",
    "perform",
    "intake",
    "inbox",
    "control",
    "audit",
    "report",
    "daemon",
    "cli",
];

/// No clock, no randomness, no IO.
const PURE: [&str; 5] = ["model", "transfer", "extract", "disclosure", "packet"];

/// Crates that may appear in some modules only.
const CRATES: [(&str, &[&str]); 18] = [
    ("sled", &["store"]),
    ("lapin", &["intake"]),
    ("prost", &["intake"]),
    ("hyper", &["transport", "records", "directory", "inbox"]),
    ("hyper_util", &["transport", "records", "directory", "inbox"]),
    ("http_body_util", &["transport", "records", "directory", "inbox"]),
    ("rustls", &["transport", "inbox", "directory"]),
    ("tokio_rustls", &["transport", "inbox", "directory"]),
    ("ring", &["packet", "store"]),
    ("quick_xml", &["extract", "packet"]),
    ("flate2", &["packet"]),
    ("clap", &["main", "cli"]),
    ("clap_complete", &["main", "cli"]),
    ("anyhow", &["main", "cli", "daemon"]),
    ("rcgen", &["transport"]),
    ("sd_notify", &["daemon"]),
    ("prometheus_client", &["telemetry"]),
    ("tracing_subscriber", &["telemetry"]),
];

/// What a pure module may not name.
const IMPURE: [&str; 9] = [
    "tokio",
    "std::fs",
    "std::net",
    "std::env",
    "std::process",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "ring::rand",
];

/// The top level, fixed by the design.
const TOP: [&str; 15] = [
    "Cargo.toml",
    "Cargo.lock",
    "LICENSE",
    "CHANGELOG.md",
    "README.md",
    "src",
    "proto",
    "schemas",
    "systemd",
    "tests",
    ".ci",
    ".clippy.toml",
    ".rustfmt.toml",
    ".deny.toml",
    ".gitignore",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below `folder` with one of the extensions.
fn files(folder: &Path, extensions: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, extensions));
        } else if path.extension().is_some_and(|e| extensions.iter().any(|x| e == *x)) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The module a source file belongs to: the first name under `src`.
fn module_of(path: &Path) -> String {
    let inside = path.strip_prefix(root().join("src")).expect("a file of src");
    let first = inside.components().next().expect("a file has a name").as_os_str().to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

/// The code of a file without comments, strings and its own tests at the foot.
fn code_of(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    let text = text.split("\n#[cfg(test)]\nmod tests").next().unwrap_or("").to_owned();
    let lines = text.lines().filter(|l| !l.trim_start().starts_with("//"));
    let bare = lines.map(|l| l.split(" // ").next().unwrap_or(""));
    without_strings(&bare.collect::<Vec<_>>().join("\n"))
}

/// Replaces what stands between quotes, so that a word in a message is no use of a crate.
fn without_strings(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => {
                out.push_str("\"\"");
                while let Some(inner) = chars.next() {
                    match inner {
                        '\\' => drop(chars.next()),
                        '"' => break,
                        _ => {}
                    }
                }
            }
            // '"' and b'"' are characters, not the beginning of a text.
            '\'' => {
                out.push('\'');
                let rest = chars.as_str();
                let literals = ["\"'", "\\\"'", "\\''", "\\\\'"];
                if let Some(after) = literals.into_iter().find_map(|l| rest.strip_prefix(l)) {
                    chars = after.chars();
                }
            }
            c => out.push(c),
        }
    }
    out
}

/// Every name that follows `crate::`, in single paths and in lists (`crate::{a, b::c}`).
fn modules_used(code: &str) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        match rest.strip_prefix('{') {
            Some(list) => used.extend(heads(list)),
            None => used.extend(word(rest)),
        }
    }
    used
}

/// The first names of a list of paths, nested lists left out.
fn heads(list: &str) -> Vec<String> {
    let (mut depth, mut heads, mut begin) = (0u32, Vec::new(), true);
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => begin = true,
            c if begin && depth == 0 && (c.is_ascii_alphanumeric() || c == '_') => {
                heads.extend(word(&list[at..]));
                begin = false;
            }
            _ => {}
        }
    }
    heads
}

fn word(text: &str) -> Option<String> {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    (end > 0).then(|| text[..end].to_owned())
}

/// Whether `name` stands in `code` as a path of its own: `name::`, or `use name;`.
fn names(code: &str, name: &str) -> bool {
    code.match_indices(name).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = &code[at + name.len()..];
        let starts = !before.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':');
        let ends = after.starts_with("::") || after.starts_with(';') || after.starts_with(" as ");
        let listed =
            name.contains("::") && !after.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        starts && (ends || listed)
    })
}

fn sources() -> BTreeMap<PathBuf, (String, String)> {
    let files = files(&root().join("src"), &["rs"]);
    // A file of tests may build what it tests from anything.
    let files = files.into_iter().filter(|path| !path.ends_with("tests.rs"));
    files.map(|path| (path.clone(), (module_of(&path), code_of(&path)))).collect()
}

#[test]
fn a_module_uses_those_above_it_and_none_below() {
    let rank = |module: &str| ORDER.iter().position(|m| *m == module);
    let mut faults = Vec::new();
    for (path, (module, code)) in sources() {
        if module == "main" || module == "lib" {
            continue;
        }
        let own = rank(&module).unwrap_or_else(|| panic!("{module} has no place in the order of the design"));
        for used in modules_used(&code) {
            if rank(&used).is_some_and(|place| place > own) {
                faults.push(format!("{} uses crate::{used}, which stands below {module}", path.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn pure_modules_touch_nothing_outside() {
    let impure_modules: Vec<&str> = ORDER.into_iter().filter(|m| !PURE.contains(m)).collect();
    let mut faults = Vec::new();
    for (path, (module, code)) in sources().into_iter().filter(|(_, (m, _))| PURE.contains(&m.as_str())) {
        // The nonce of an ECDSA signature is the one random draw allowed.
        let signing = module == "packet";
        let banned = IMPURE.into_iter().filter(|name| !(signing && *name == "ring::rand"));
        for name in banned.filter(|name| names(&code, name)) {
            faults.push(format!("{} names {name}", path.display()));
        }
        for used in modules_used(&code).iter().filter(|u| impure_modules.contains(&u.as_str())) {
            faults.push(format!("{} uses crate::{used}", path.display()));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_crate_appears_only_where_it_belongs() {
    let mut faults = Vec::new();
    for (path, (module, code)) in sources() {
        for (name, homes) in CRATES {
            if !homes.contains(&module.as_str()) && names(&code, name) {
                faults.push(format!(
                    "{} names {name}, which belongs to {}",
                    path.display(),
                    homes.join(", ")
                ));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn only_the_clock_reads_the_time() {
    for (path, (module, code)) in sources() {
        for reading in ["SystemTime::now", "Instant::now", "Timestamp::now", "Zoned::now"] {
            assert!(module == "clock" || !code.contains(reading), "{} calls {reading}", path.display());
        }
    }
}

#[test]
fn the_top_level_is_that_of_the_design() {
    for entry in std::fs::read_dir(root()).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        let ours = TOP.contains(&name.as_str()) || name == ".git" || name == "target";
        assert!(ours, "{name} has no place at the top level");
    }
    for name in TOP {
        assert!(root().join(name).exists(), "{name} belongs to the top level and is missing");
    }
}

#[test]
fn files_open_with_what_they_are_for_and_stay_short() {
    for path in files(&root().join("src"), &["rs"]) {
        let text = std::fs::read_to_string(&path).unwrap();
        let generated = text.starts_with("// @generated") || path.ends_with("custody.v1.rs");
        if path.ends_with("tests.rs") {
            continue;
        }
        assert!(
            generated || text.starts_with("//!"),
            "{} does not open with a sentence saying what it is for",
            path.display()
        );
        let lines = text.lines().count();
        assert!(
            generated || lines <= 800,
            "{} has {lines} lines: find the second idea in it",
            path.display()
        );
    }
}

#[test]
fn no_file_names_a_machine_or_leaves_work_for_later() {
    let folders = ["src", "tests", "proto", "schemas", "systemd", ".ci"];
    let mut paths: Vec<PathBuf> = folders
        .iter()
        .map(|f| root().join(f))
        .filter(|f| f.exists())
        .flat_map(|f| files(&f, &["rs", "toml", "json", "proto", "service", "xsd", "md", "sh", "py"]))
        .collect();
    paths.extend(["README.md", "CHANGELOG.md", "Cargo.toml", ".ci/run", "tests/run"].map(|f| root().join(f)));
    // Written in two pieces so that this file does not find itself.
    let banned = [
        ["/wo", "rk/"],
        ["/tmp/bri", "efs"],
        ["/ro", "ot/"],
        ["/ho", "me/"],
        ["TO", "DO"],
        ["FIX", "ME"],
        ["XX", "X:"],
    ];
    for path in paths.into_iter().filter(|p| p.exists()) {
        let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
        for word in banned.map(|pieces| pieces.concat()) {
            assert!(!text.contains(&word), "{} contains {word}", path.display());
        }
    }
}

#[test]
fn the_scanner_sees_paths_and_not_words() {
    let code = without_strings(
        "use crate::{model::X, store}; let a = \"sled::Db \\\" tokio::spawn\"; crate::engine::go('\"', ring::digest)",
    );
    assert_eq!(modules_used(&code).into_iter().collect::<Vec<_>>(), ["engine", "model", "store"]);
    assert!(!names(&code, "sled") && !names(&code, "tokio"), "words in a text are no paths: {code}");
    assert!(names(&code, "ring"));
    assert!(names("use lapin;", "lapin") && !names("x.lapin()", "lapin") && !names("a::prost::b", "prost"));
    assert!(names("use std::fs;", "std::fs") && names("std::fs::read(p)", "std::fs"));
}
