//! What is put into a store, for tests.
#![allow(dead_code)]

use crate::s3_server::Server;
use bytes::Bytes;
use starsnap_repository::error::RepositoryError;
use starsnap_repository::storage::Storage;
use std::fs;
use std::path::Path;

/// Every file below `dir`, as objects below `prefix`.
pub fn upload(server: &Server, dir: &Path, prefix: &str) {
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let key = format!("{prefix}/{}", entry.file_name().to_str().unwrap());
        match entry.file_type().unwrap().is_dir() {
            true => upload(server, &entry.path(), &key),
            false => server.put(&key, &fs::read(entry.path()).unwrap()),
        }
    }
}

pub async fn write(storage: &dyn Storage, path: &str, bytes: &[u8]) -> Result<(), RepositoryError> {
    let mut writer = storage.writer(path).await?;
    for piece in bytes.chunks(1 << 20) {
        writer.write(Bytes::copy_from_slice(piece)).await?;
    }
    writer.finish().await
}

/// Bytes that differ everywhere.
pub fn noise(len: usize) -> Vec<u8> {
    (0..len as u64).map(|n| (n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8).collect()
}
