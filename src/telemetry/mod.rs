//! What the daemon tells about itself: logs, metrics, health.
//!
//! Nothing here names a patient, a place or a party: a small site's count with a time is a person (custody reference
//! §9). Lines of the libraries below us are kept to warnings, because some of them print what they carry.

mod metrics;
mod probe;

use std::io;

use tracing::Level;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

pub use metrics::{Answered, Direction, Intake, Metrics, Standing};
pub use probe::{Phase, Probe, serve};

use crate::config::{LogFormat, LogLevel};

/// Where log lines really go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogTarget {
    /// To the form that was asked for.
    AsAsked,
    /// The journal was asked for and is not there: text on standard error.
    JournalMissing,
}

/// Logging was set up before.
#[derive(Debug, thiserror::Error)]
#[error("setting up the log")]
pub struct LogError(#[from] TryInitError);

/// Sets up logging for the whole process, once. From here on a panic prints its place and not its message, which
/// could quote a record.
pub fn start_log(format: LogFormat, level: LogLevel) -> Result<LogTarget, LogError> {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "stopped by a defect in throughcare; please report this place");
    }));
    let lines = lines_from(level);
    match format {
        LogFormat::Json => subscriber(json(io::stderr), lines)?,
        LogFormat::Text => subscriber(text(io::stderr), lines)?,
        LogFormat::Journald => match tracing_journald::layer() {
            Ok(journal) => {
                let journal = journal.with_syslog_identifier("throughcare".to_owned());
                tracing_subscriber::registry().with(journal.with_filter(lines)).try_init()?;
            }
            Err(_) => {
                subscriber(text(io::stderr), lines)?;
                return Ok(LogTarget::JournalMissing);
            }
        },
    }
    Ok(LogTarget::AsAsked)
}

type Boxed = Box<dyn Layer<tracing_subscriber::Registry> + Send + Sync>;

fn subscriber(layer: Boxed, lines: Targets) -> Result<(), TryInitError> {
    tracing_subscriber::registry().with(layer.with_filter(lines)).try_init()
}

/// Our own lines from `level` on; those of libraries only when they warn.
fn lines_from(level: LogLevel) -> Targets {
    let level = match level {
        LogLevel::Error => Level::ERROR,
        LogLevel::Warn => Level::WARN,
        LogLevel::Info => Level::INFO,
        LogLevel::Debug => Level::DEBUG,
        LogLevel::Trace => Level::TRACE,
    };
    Targets::new()
        .with_default(Level::WARN.min(level))
        // It prints whole messages that came back; what matters of it our own lines say.
        .with_target("lapin", LevelFilter::OFF)
        .with_target("throughcare", level)
}

fn json<S, W>(writer: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    tracing_subscriber::fmt::layer().json().flatten_event(true).with_writer(writer).boxed()
}

fn text<S, W>(writer: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    // Under systemd and in files colour codes are noise.
    tracing_subscriber::fmt::layer().with_ansi(false).with_target(false).with_writer(writer).boxed()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Keeps what is written.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(level: LogLevel, speak: impl FnOnce()) -> String {
        let kept = Kept::default();
        let writer = kept.clone();
        let layer = json(move || writer.clone()).with_filter(lines_from(level));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), speak);
        let bytes = kept.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_json_line_is_one_object_with_the_fields_at_the_top() {
        let text = logged(LogLevel::Info, || tracing::info!(transfer = "T1", "acknowledged"));
        let line: serde_json::Value = serde_json::from_str(text.trim()).expect("one JSON object");
        assert_eq!(line["transfer"], "T1");
        assert_eq!(line["message"], "acknowledged");
        assert_eq!(line["level"], "INFO");
    }

    #[test]
    fn libraries_are_heard_only_when_they_warn() {
        let text = logged(LogLevel::Trace, || {
            tracing::info!(target: "lapin::channel", "a payload could be here");
            tracing::trace!("ours");
            tracing::warn!(target: "rustls", "theirs");
        });
        assert!(!text.contains("payload"), "{text}");
        assert!(text.contains("ours") && text.contains("theirs"), "{text}");
        let quiet = logged(LogLevel::Error, || tracing::warn!(target: "rustls", "theirs"));
        assert!(quiet.is_empty(), "an administrator who asked for errors gets errors: {quiet}");
    }
}
