//! Every store that opendal serves.

/// A store behind an opendal operator.
#[derive(Debug)]
pub struct ObjectStorage {}
