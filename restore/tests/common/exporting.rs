//! What the tests of exports share.

use starsnap_restore::access::Access;
use starsnap_restore::export::{ExportOptions, ExportSource, Format, Target, export};
use starsnap_restore::report::{ExportReport, JobStatus};
use starsnap_restore::{Cancel, RestoreError, Silent};
use std::io::Write;
use std::sync::{Arc, Mutex};

/// All rows of a source, and nothing out of the ordinary.
pub async fn all_rows(source: &str, format: Format) -> Result<ExportOptions, RestoreError> {
    let source = ExportSource::resolve(source, &Access::default(), None).await?;
    Ok(ExportOptions::all_rows(source, format, 3))
}

pub async fn run(options: ExportOptions, target: Target) -> Result<ExportReport, RestoreError> {
    export(options, target, Arc::new(Silent), Cancel::default()).await
}

#[track_caller]
pub fn done(report: Result<ExportReport, RestoreError>) -> ExportReport {
    let report = report.unwrap();
    assert_eq!(report.status, JobStatus::Done, "{report:?}");
    report
}

/// A pipe that keeps what is written to it.
#[derive(Clone, Default)]
pub struct Pipe(Arc<Mutex<Vec<u8>>>);

impl Pipe {
    pub fn target(&self) -> Target {
        Target::Stream(Box::new(self.clone()))
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What an export writes to a pipe.
pub async fn piped(options: ExportOptions) -> (Vec<u8>, ExportReport) {
    let pipe = Pipe::default();
    let report = done(run(options, pipe.target()).await);
    (pipe.bytes(), report)
}
