//! Object stores that speak S3: AWS, MinIO, Ceph, Google Cloud Storage by its interoperability, and others.
//!
//! opendal knows S3's requests; signing, credentials, retries and deadlines are here, beneath it, where each request can be judged by
//! itself: see [`http`].

mod body;
mod credentials;
mod gathered;
mod hollow;
mod http;
mod process;
mod refusal;
mod sender;
mod sts;
mod surroundings;

pub(super) use refusal::Refusal;

use super::ObjectStorage;
use super::object::Remote;
use crate::error::{ErrorKind, RepositoryError, Result};
use crate::limiter::Limiter;
use crate::location::S3Location;
use opendal::{HttpTransporter, OperationContext, Operator};
use std::sync::Arc;

/// What suits S3: requests cost milliseconds, connections are slow one by one, and a file may have 10 000 parts at most, so that 8 MiB
/// each allow 78 GiB.
const REMOTE: Remote = Remote {
    read_block: 8 << 20,
    reads_at_once: 8,
    part: 8 << 20,
    parts_at_once: 3,
    copy_part: 256 << 20,
    page: 1000,
    lists_at_once: 8,
};

/// The store at `location`. Nothing is asked of it yet.
pub(crate) fn open(location: &S3Location) -> Result<ObjectStorage> {
    open_limited(location, None)
}

/// The same, sending no faster than `uploads` allows.
pub(super) fn open_limited(location: &S3Location, uploads: Option<Arc<Limiter>>) -> Result<ObjectStorage> {
    let url = location.url();
    let failed = |error: Box<dyn std::error::Error + Send + Sync>| {
        RepositoryError::new(ErrorKind::Invalid, "use location", url.clone(), error.to_string()).caused_by(error)
    };
    let mut service = opendal::services::S3::default()
        .bucket(&location.bucket)
        .root(&format!("/{}", location.root))
        .endpoint(&location.endpoint)
        .region(&location.region)
        .disable_config_load()
        .disable_ec2_metadata()
        .skip_signature();
    if !location.path_style {
        service = service.enable_virtual_host_style();
    }
    let operator = Operator::new(service).map_err(|error| failed(error.into()))?;
    let transport = http::Transport::new(location, uploads).map_err(|error| failed(error.into()))?;
    let context = OperationContext::new().with_http_transport(HttpTransporter::new(transport));
    Ok(ObjectStorage::new(operator.with_context(context), url).remote(REMOTE, location))
}
