//! The messages of `proto/`, as generated. Nothing is checked here, and nothing prints its content.

#![allow(clippy::all, reason = "generated code")]

include!("custody.v1.rs");

/// Messages hold numbers and dates of birth: their `Debug` says only what they are.
macro_rules! masked {
    ($($message:ident),+) => {$(
        impl std::fmt::Debug for $message {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($message), "(masked)"))
            }
        }
    )+};
}
masked!(
    CustodyEvent,
    PdsFacts,
    Reception,
    Release,
    Move,
    RegistrationDecision,
    Correction,
    Death,
    FilingDecision,
    Outcome,
    Completeness
);
