//! What the answer to one attempt means for the message that was sent: accepted, to be tried again, or refused.
//! The reasons are closed lists with the words an operator reads; the table that assigns them is
//! `transport::classify` (wire reference §1.5).

use serde::{Deserialize, Serialize};

/// What an answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "verdict", content = "because")]
pub enum Verdict {
    /// Somebody took it. Not yet filed: that is for the practice to say.
    Accepted(Accepted),
    /// Worth sending again.
    TryAgain(TryAgain),
    /// Sending it again changes nothing.
    Refused(Refused),
}

/// Who accepted a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Accepted {
    /// The next handler on the way: not delivery yet.
    Hop,
    /// The party's own system.
    End,
    /// Accepted with a warning.
    Warning,
}

macro_rules! reasons {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident => $words:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum $name { $($(#[$vdoc])* $variant,)+ }

        impl $name {
            /// Every reason there is, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// For an operator: what happened, and what to do if anything.
            pub fn words(self) -> &'static str {
                match self { $(Self::$variant => $words,)+ }
            }
        }
    };
}

reasons! {
    /// Why it is worth sending again. Numbers are rows of wire reference §1.5.
    TryAgain {
        /// Row 1: no connection; nothing left us.
        Unreachable => "their system cannot be reached",
        /// Ours: the sealed packet could not be read back; nothing left us.
        PacketUnreadable => "the sealed packet cannot be read back; check the disk and the vault key",
        /// Ours: the directory has no way to the party; nothing left us.
        NoRoute => "the directory has no way to this party any more; correct the directory",
        /// Row 2: a certificate was refused, theirs or ours; nothing left us.
        TlsIdentity => "the certificates do not fit; check the directory's certificates and ours",
        /// Row 3: the connection broke after the first octet.
        UnknownOutcome => "the connection broke; the message may have arrived",
        /// Row 6: an answer without the acknowledgement that was due.
        AckMissing => "their system answered without the acknowledgement it owes",
        /// Row 7: an acknowledgement for another message.
        AckMismatch => "their system acknowledged another message; tell its supplier",
        /// Row 10: the signed receipt does not hold.
        ReceiptInvalid => "their receipt's signature does not hold; check the directory's signing certificate",
        /// Row 11: a delivery failure called a warning.
        DeliveryUncertain => "their system is not sure of delivery",
        /// Row 17: an error code outside the standard's list.
        PeerUnknown => "their system reported an unknown error",
        /// Row 19: the hub is busy or cannot store.
        HubBusy => "the hub is busy",
        /// Row 21: a fault of their server without a code.
        PeerFault => "their system reported a fault of its own",
        /// Row 22: a success that is not an ebXML answer.
        NotEbxml => "something answered that is not their messaging system; check the address in the directory",
        /// Row 24: asked to come back later.
        Busy => "their system is busy and asked us to come back",
        /// Row 28: a failure of their server without a readable answer.
        Peer5xx => "their system failed",
    }
}

reasons! {
    /// Why sending it again changes nothing.
    Refused {
        /// Row 12: wrong party or contract.
        Addressing => "it says the address is wrong; correct the directory's party key and CPA id",
        /// Row 13: a feature it does not have.
        NotSupported => "it does not support this kind of message",
        /// Row 13: the same MessageId came with other content.
        Inconsistent => "it says that a message of this id came with other content; report it to the supplier",
        /// Row 14: it could not read the message.
        Malformed => "it could not read the message; report it to the supplier",
        /// Row 15: the signature was not accepted.
        Security => "it did not accept our signature; check that it has our signing certificate",
        /// Row 16: it arrived too late.
        Expired => "the message had expired when it arrived",
        /// Row 16: it could not be passed on.
        Undeliverable => "it could not pass the message on",
        /// Row 20: the hub refused.
        HubFault => "the hub refused the message",
        /// Row 21: a fault that blames us.
        Fault => "it reported that our message is at fault",
        /// Row 23: sent elsewhere, which is never followed.
        Redirect => "the address answers with a redirect, which is never followed; correct the directory",
        /// Row 25: larger than it takes.
        TooLarge => "the message is larger than it takes",
        /// Row 26: any other refusal of the request.
        Http4xx => "it refused the request; check the address and our certificate",
        /// Row 27: a server that cannot do this at all.
        Http5xx => "its server cannot take such a request",
        /// Row 29: the window closed.
        GaveUp => "the time for this message ran out",
    }
}

impl TryAgain {
    /// Whether it shows that the party is down, rather than displeased with one message.
    pub fn means_party_is_down(self) -> bool {
        match self {
            Self::Unreachable
            | Self::TlsIdentity
            | Self::UnknownOutcome
            | Self::NotEbxml
            | Self::HubBusy
            | Self::Busy
            | Self::Peer5xx => true,
            Self::PacketUnreadable
            | Self::NoRoute
            | Self::AckMissing
            | Self::AckMismatch
            | Self::ReceiptInvalid
            | Self::DeliveryUncertain
            | Self::PeerUnknown
            | Self::PeerFault => false,
        }
    }
}

impl Verdict {
    /// For an operator.
    pub fn words(&self) -> &'static str {
        match self {
            Self::Accepted(Accepted::Hop) => "accepted by the next handler",
            Self::Accepted(Accepted::End) => "accepted by the practice's system",
            Self::Accepted(Accepted::Warning) => "accepted with a warning",
            Self::TryAgain(why) => why.words(),
            Self::Refused(why) => why.words(),
        }
    }
}
