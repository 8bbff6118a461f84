//! `__info` and `__meta` joined.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use starsnap_catalog::info::JobInfo;
use starsnap_catalog::model::BackupMeta;
use starsnap_catalog::snapshot::{PartitionKind, Snapshot};

fn join(info: Option<&JobInfo>, meta: Option<&BackupMeta>) -> Snapshot {
    Snapshot::join(info, meta).unwrap()
}

/// The disagreements as `object: what`.
fn said(snapshot: &Snapshot) -> Vec<String> {
    snapshot.disagreements.iter().map(|one| format!("{}: {}", one.object, one.what)).collect()
}

#[test]
fn genuine_snapshots_agree_with_themselves() {
    for case in common::all() {
        let (info, meta) = (case.info(), case.meta());
        let both = join(info.as_ref(), meta.as_ref());
        assert_eq!(said(&both), [""; 0], "{}", case.name);
        // Each alone says the same, as far as it goes.
        if let Some(info) = &info {
            let alone = join(Some(info), None);
            assert_eq!(said(&alone), [""; 0]);
            assert_eq!(alone.tables.len(), both.tables.len(), "{}", case.name);
            for (alone, both) in alone.tables.iter().zip(&both.tables) {
                assert_eq!((alone.id, &alone.name), (both.id, &both.name), "{}", case.name);
                assert_eq!(alone.auto_increment_id, both.auto_increment_id);
                let mut listed: Vec<_> =
                    both.partitions.iter().filter(|p| p.kind != PartitionKind::Temporary).cloned().collect();
                listed.sort_by_key(|partition| partition.id);
                for (alone, both) in alone.partitions.iter().zip(&mut listed) {
                    // Which physical partition is the default one is known to `__meta` alone.
                    both.physicals.sort_by_key(|physical| (physical.id != both.id, physical.id));
                    assert_eq!(alone, both, "{}", case.name);
                }
                assert_eq!(alone.partitions.len(), listed.len());
            }
        }
        if let Some(meta) = &meta {
            let mut alone = join(None, Some(meta));
            assert_eq!(said(&alone), [""; 0]);
            for (alone, both) in alone.tables.iter_mut().zip(&both.tables) {
                alone.auto_increment_id = both.auto_increment_id;
                let tablets = both.partitions.iter().flat_map(|p| &p.physicals).flat_map(|p| &p.indexes);
                let tablets = tablets.flat_map(|index| &index.tablets);
                let own = alone.partitions.iter_mut().flat_map(|p| &mut p.physicals).flat_map(|p| &mut p.indexes);
                for (own, other) in own.flat_map(|index| &mut index.tablets).zip(tablets) {
                    own.listed_files = other.listed_files.clone();
                }
            }
            assert_eq!(alone.tables, both.tables, "{}", case.name);
            assert_eq!((&alone.functions, &alone.catalogs), (&both.functions, &both.catalogs));
        }
    }
    assert!(Snapshot::join(None, None).is_err());
}
