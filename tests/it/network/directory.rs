//! The directory file as it is edited.

use super::*;

#[test]
fn a_good_edit_is_taken_and_a_bad_one_keeps_the_last_good() {
    let authority = root("one");
    let end = End::new(&leaf(&authority, "prison"), &[&authority]);
    let handle = end.directory(PRACTICE, 8443, "");
    let path = end.path("directory.toml");
    let first = handle.current().version();
    let mut changes = handle.subscribe();

    write(&path, &(entry(PRACTICE, 8443, "") + &entry(("B85003", "B85003-0001"), 8443, "")), 0o644);
    handle.reload_if_changed(clock::now()).expect("a good edit");
    assert_eq!(handle.current().parties().len(), 2);
    assert_ne!(handle.current().version(), first, "each version can be told from the others");
    assert!(changes.has_changed().unwrap(), "whoever subscribed is told");
    changes.mark_unchanged();
    let good = handle.current().version();

    let bad_edits = [
        "[[party]]\nods = ",
        &entry(PRACTICE, 8443, "colour = \"red\""),
        &(entry(PRACTICE, 8443, "") + &entry(("B85003", PRACTICE.1), 8443, "")),
        &(entry(PRACTICE, 8443, "") + &entry((PRACTICE.0, "B85003-0001"), 8443, "")),
        &entry(PRACTICE, 8443, "[party.tls]\nca = [\"nowhere.pem\"]"),
    ];
    for bad in bad_edits {
        write(&path, bad, 0o644);
        let error = handle.reload_if_changed(clock::now()).expect_err("a bad edit");
        assert!(error.to_string().contains("line"), "it says where: {error}");
        assert_eq!(handle.current().version(), good, "whole or not at all");
        assert!(handle.status().problem.is_some(), "the operator is told");
    }
    assert!(!changes.has_changed().unwrap(), "nothing changed for anyone");

    std::fs::remove_file(&path).unwrap();
    assert!(handle.reload(clock::now()).is_err(), "a missing file is a bad edit too");
    assert_eq!(handle.current().version(), good);

    write(&path, &entry(PRACTICE, 8444, ""), 0o644);
    handle.reload(clock::now()).expect("mended");
    assert_eq!(handle.status().problem, None);
    assert_eq!(handle.status().parties, 1);
}

#[test]
fn a_changed_certificate_file_is_a_changed_directory() {
    let authority = root("one");
    let end = End::new(&leaf(&authority, "prison"), &[&authority]);
    write(&end.path("theirs.pem"), &root("theirs").certificate_pem(), 0o644);
    let handle = end.directory(PRACTICE, 8443, "[party.tls]\nca = [\"theirs.pem\"]");
    let before = handle.current().version();
    handle.reload_if_changed(clock::now()).expect("unchanged");
    assert_eq!(handle.current().version(), before);
    write(
        &end.path("theirs.pem"),
        &(root("new").certificate_pem() + &root("newer").certificate_pem()),
        0o644,
    );
    handle.reload_if_changed(clock::now()).expect("in order");
    assert_ne!(handle.current().version(), before);
    let directory = handle.current();
    let peer = directory.peers().next().unwrap().1;
    assert_eq!(peer.tls.roots.len(), 2);
}

#[tokio::test]
async fn the_file_is_watched() {
    let authority = root("one");
    let end = End::new(&leaf(&authority, "prison"), &[&authority]);
    let handle = end.directory(PRACTICE, 8443, "");
    let mut changes = handle.subscribe();
    let watching = tokio::spawn(handle.clone().watch(Duration::from_secs(1)));
    write(&end.path("directory.toml"), &entry(PRACTICE, 18443, ""), 0o644);
    let seen = tokio::time::timeout(Duration::from_secs(10), changes.changed()).await;
    assert!(seen.is_ok(), "an edit is in force within seconds, without being asked");
    watching.abort();
}

#[test]
fn the_first_load_must_be_good() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("directory.toml");
    assert!(DirectoryHandle::open(&path, clock::now()).is_err(), "missing");
    write(&path, "[[party]]\n", 0o644);
    assert!(DirectoryHandle::open(&path, clock::now()).is_err(), "bad");
}
