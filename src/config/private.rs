//! Whether a file that holds a secret is closed to others. One rule for every key, in `run` and in `check` alike.
//!
//! Does not read the file, and does not ask whose it is: a key of another owner cannot be opened anyway.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Where Linux keeps an access list (acl(5)).
const ACCESS_LIST: &str = "system.posix_acl_access";
/// An access list of five hundred entries; a longer one is no longer private.
const LONGEST_LIST: usize = 4096;

/// Whether group or others may use the file. Somebody named one by one in an access list is no stranger: systemd names
/// the service's user so when it passes a credential, and the mode then shows a group bit that lets no group in.
pub fn open_to_others(file: &Path) -> io::Result<bool> {
    let mode = std::fs::metadata(file)?.permissions().mode();
    if mode & 0o077 == 0 {
        return Ok(false);
    }
    let mut list = [0; LONGEST_LIST];
    match rustix::fs::getxattr(file, ACCESS_LIST, &mut list[..]) {
        Ok(length) => Ok(lets_others_in(&list[..length])),
        // No list, none on this kind of disk, or one that is too long: the mode says it all.
        Err(_) => Ok(true),
    }
}

/// Reads an access list: four bytes of version, then tag, permissions and identifier of each entry.
fn lets_others_in(list: &[u8]) -> bool {
    const GROUP_OF_FILE: u16 = 0x04;
    const NAMED_GROUP: u16 = 0x08;
    const OTHERS: u16 = 0x20;
    let (entries, _) = list.get(4..).unwrap_or_default().as_chunks::<8>();
    let field = |low: u8, high: u8| u16::from_le_bytes([low, high]);
    entries.iter().any(|[tag, tag_high, bits, bits_high, ..]| {
        let strangers = [GROUP_OF_FILE, NAMED_GROUP, OTHERS].contains(&field(*tag, *tag_high));
        strangers && field(*bits, *bits_high) != 0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The list of a credential of systemd: owner and one named user may read, the mask is read.
    fn list(group: u16, others: u16) -> Vec<u8> {
        let nobody = u32::MAX;
        let entries =
            [(1, 4, nobody), (2, 4, 987), (4, group, nobody), (0x10, 4, nobody), (0x20, others, nobody)];
        let mut list = 2u32.to_le_bytes().to_vec();
        for (tag, bits, id) in entries {
            list.extend(u16::to_le_bytes(tag));
            list.extend(u16::to_le_bytes(bits));
            list.extend(u32::to_le_bytes(id));
        }
        list
    }

    #[test]
    fn a_named_user_is_no_stranger_but_group_and_others_are() {
        assert!(!lets_others_in(&list(0, 0)), "so systemd passes a credential");
        assert!(lets_others_in(&list(4, 0)), "the group of the file");
        assert!(lets_others_in(&list(0, 4)), "everyone");
    }

    #[test]
    fn the_mode_counts_where_there_is_no_list() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        std::fs::write(&file, "k").unwrap();
        for (mode, open) in [(0o400, false), (0o600, false), (0o440, true), (0o604, true), (0o640, true)] {
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(open_to_others(&file).unwrap(), open, "{mode:o}");
        }
        assert!(open_to_others(&folder.path().join("none")).is_err());
    }

    #[test]
    fn a_credential_with_an_access_list_is_taken_from_a_real_disk() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        std::fs::write(&file, "k").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o400)).unwrap();
        let flags = rustix::fs::XattrFlags::empty();
        if let Err(e) = rustix::fs::setxattr(&file, ACCESS_LIST, &list(0, 0), flags) {
            eprintln!("SKIPPED: this disk keeps no access lists ({e})");
            return;
        }
        let mode = std::fs::metadata(&file).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o440, "because the mask shows in place of the group");
        assert!(!open_to_others(&file).unwrap());
    }
}
