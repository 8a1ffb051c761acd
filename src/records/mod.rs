//! Where a custody record comes from, and where a received record is filed: folders the clinical system shares.
//!
//! Names from outside are opened beneath their folder and nowhere else. What a record says is not looked at here,
//! beyond being a FHIR Bundle at all; whose record it is, `extract` checks.

mod filing;
mod folder;
mod index;
mod sniff;

pub use filing::{
    Filed, FilingFault, FilingFolder, ReadRecord, ReceivedAttachment, ReceivedRecord, Text, Written,
    attachment_name,
};
pub use folder::{Attachment, FolderLimits, RecordFault, RecordFolder, RecordRef, TypeClaim};
pub use sniff::FileType;
