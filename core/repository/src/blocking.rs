//! Work that would hold up a thread of the runtime.

use crate::error::{ErrorKind, RepositoryError, Result};

/// Runs `work` where it may block or compute for long. A panic in it goes on here.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => {
                let reason = "the program is shutting down";
                Err(RepositoryError::new(ErrorKind::Unavailable, "finish", "local work", reason).caused_by(error))
            }
        },
    }
}
