//! Headers and snapshot metas of the genuine tablets against what is known of them.

use super::common;
use std::fs;
use std::path::Path;

use prost::Message as _;
use starsnap_tablet::proto::tablet::SnapshotMetaFooterPb;
use starsnap_tablet::{ErrorKind, KeysType, TabletMeta, expected_files};

/// Values of `key: value` lines at the top level or in the named block of a protobuf text.
fn text_values(text: &str, key: &str) -> Vec<String> {
    let prefix = format!("{key}: ");
    text.lines().filter_map(|l| l.trim_start().strip_prefix(&prefix)).map(|v| v.trim_matches('"').to_owned()).collect()
}

fn top_level(text: &str, key: &str) -> Option<String> {
    text.lines().find_map(|l| l.strip_prefix(&format!("{key}: "))).map(str::to_owned)
}

/// The lines of the first block `name {` at the start of a line.
fn block<'a>(text: &'a str, name: &str) -> &'a str {
    let start = text.find(&format!("\n{name} {{\n")).map(|at| at + 1).expect("block");
    let end = text[start..].find("\n}\n").expect("end of block") + start;
    &text[start..end]
}

#[test]
fn every_header_parses_to_what_its_text_says() {
    let mut seen = 0;
    for case in common::cases() {
        let text = case.metadata_text();
        let meta = case.meta();
        assert_eq!(Some(meta.tablet_id.to_string()), top_level(&text, "tablet_id"), "{case}");
        assert_eq!(Some(meta.schema_hash.to_string()), top_level(&text, "schema_hash"), "{case}");
        let schema = block(&text, "schema");
        let names = text_values(schema, "name");
        let mut own = Vec::new();
        for column in &meta.schema.columns {
            common::flatten_names(column, &mut own);
        }
        // A nested column's own name stands before its children's in the text, except that children may come in between.
        let sorted = |mut v: Vec<String>| {
            v.sort();
            v
        };
        assert_eq!(sorted(own), sorted(names), "{case}");
        let rowsets = text_values(&text, "rowset_id");
        assert_eq!(meta.rowsets.iter().map(|r| r.id.to_string()).collect::<Vec<_>>(), rowsets, "{case}");
        let segments: Vec<_> = meta.rowsets.iter().map(|r| r.segments.len().to_string()).collect();
        assert_eq!(segments, text_values(&text, "num_segments"), "{case}");
        let starts: Vec<_> = meta.rowsets.iter().map(|r| r.start_version.to_string()).collect();
        assert_eq!(starts, text_values(&text, "start_version"), "{case}");
        let predicates: Vec<_> = meta.rowsets.iter().filter_map(|r| r.delete_predicate.as_ref()).collect();
        assert_eq!(predicates.len(), text.matches("delete_predicate {").count(), "{case}");
        seen += 1;
    }
    assert!(seen > 20);
}

#[test]
fn delete_vectors_and_delta_columns_are_those_of_the_text() {
    let (mut vectors, mut groups) = (0, 0);
    for case in common::cases() {
        let meta = case.meta();
        if meta.schema.keys_type == KeysType::Primary {
            let text = case.metadata_text();
            for rowset in &meta.rowsets {
                for (at, segment) in rowset.segments.iter().enumerate() {
                    let vector = segment.delete_vector.as_ref().unwrap();
                    let rows = vector.rows.iter().map(|r| r.to_string()).collect::<Vec<_>>().join(",");
                    let id = rowset.rowset_seg_id as usize + at;
                    let start =
                        format!("delvec segid={id} version={} cardinality={}", vector.version, vector.rows.len());
                    let line =
                        text.lines().find(|l| l.starts_with(&start)).unwrap_or_else(|| panic!("{case}: {start}"));
                    let listed = line.split_once("rows=[").unwrap().1.trim_end_matches(']').replace(' ', "");
                    assert_eq!(rows, listed.trim_end_matches(','), "{case}");
                    vectors += usize::from(!vector.rows.is_empty());
                }
            }
        }
        groups += meta.rowsets.iter().flat_map(|r| &r.segments).flat_map(|s| &s.delta_columns).count();
    }
    assert!(vectors > 0 && groups >= 3, "{vectors} delete vectors, {groups} delta column groups");
}

#[test]
fn expected_files_are_the_files_of_the_directory() {
    for case in common::cases() {
        let mut listed: Vec<String> =
            fs::read_dir(case.tablet()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        listed.retain(|n| n != "meta" && !n.ends_with(".hdr") && !n.ends_with(".dcgs_snapshot"));
        listed.sort();
        assert_eq!(expected_files(&case.meta()), listed, "{case}");
    }
}

/// In a repository, names carry the MD5 of their content behind the last dot.
#[test]
fn expected_files_are_the_files_of_every_tablet_of_the_repositories() {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/repositories"));
    let mut seen = 0;
    let mut stack = vec![root.to_path_buf()];
    while let Some(dir) = stack.pop() {
        let mut names = Vec::new();
        for entry in fs::read_dir(&dir).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                stack.push(entry.path());
            } else if let Some((name, md5)) = entry.file_name().to_str().unwrap().rsplit_once('.')
                && md5.len() == 32
            {
                names.push((name.to_owned(), entry.path()));
            }
        }
        if !dir.file_name().unwrap().to_str().unwrap().trim_start_matches("__").bytes().all(|b| b.is_ascii_digit()) {
            continue;
        }
        let find =
            |wanted: &dyn Fn(&str) -> bool| names.iter().find(|(n, _)| wanted(n)).map(|(_, p)| fs::read(p).unwrap());
        let meta = match (find(&|n| n.ends_with(".hdr")), find(&|n| n == "meta")) {
            (Some(header), None) => {
                let mut meta = TabletMeta::from_header(&header).unwrap();
                if let Some(delta) = find(&|n| n.ends_with(".dcgs_snapshot")) {
                    meta.add_delta_columns(&delta).unwrap();
                }
                meta
            }
            (None, Some(meta)) => TabletMeta::from_snapshot_meta(&meta).unwrap(),
            // A backup that crashed while it was uploading.
            (None, None) if dir.to_str().unwrap().contains("broken_upload") => continue,
            _ => panic!("{}: one .hdr or one meta", dir.display()),
        };
        let mut listed: Vec<_> = names.into_iter().map(|(n, _)| n).collect();
        listed.retain(|n| n != "meta" && !n.ends_with(".hdr") && !n.ends_with(".dcgs_snapshot"));
        listed.sort();
        if dir.to_str().unwrap().contains("broken_upload") {
            assert!(listed.iter().all(|n| expected_files(&meta).contains(n)), "{}", dir.display());
        } else {
            assert_eq!(expected_files(&meta), listed, "{}", dir.display());
        }
        seen += 1;
    }
    assert!(seen > 100, "{seen} tablets");
}

#[test]
fn any_changed_byte_or_truncation_of_a_header_is_an_error_or_changes_nothing() {
    for case in common::cases().into_iter().filter(|c| c.is_tiny()) {
        let (name, bytes) = case.metadata();
        assert_ne!(name, "meta");
        let whole = format!("{:?}", TabletMeta::from_header(&bytes).unwrap());
        for len in 0..bytes.len() {
            assert!(TabletMeta::from_header(&bytes[..len]).is_err(), "{case} cut to {len}");
        }
        for at in 0..bytes.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut changed = bytes.clone();
                changed[at] ^= flip;
                if let Ok(meta) = TabletMeta::from_header(&changed) {
                    assert_eq!(format!("{meta:?}"), whole, "{case}: byte {at}");
                }
            }
        }
    }
}

/// `meta` has no checksum: here it is enough that nothing panics and nothing allocates wildly.
#[test]
fn damaged_snapshot_metas_do_not_panic() {
    for case in common::cases().into_iter().filter(|c| c.meta().schema.keys_type == KeysType::Primary) {
        let (_, bytes) = case.metadata();
        for len in 0..bytes.len() {
            assert!(TabletMeta::from_snapshot_meta(&bytes[..len]).is_err(), "{case} cut to {len}");
        }
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 0xff;
            let _ = TabletMeta::from_snapshot_meta(&changed);
        }
    }
}

/// It would look like a tablet of a few rows.
#[test]
fn incremental_snapshots_are_refused() {
    let mut seen = 0;
    for case in common::cases() {
        let (name, bytes) = case.metadata();
        if name != "meta" {
            continue;
        }
        let at = u64::from_be_bytes(bytes[bytes.len() - 16..][..8].try_into().unwrap()) as usize;
        let mut footer = SnapshotMetaFooterPb::decode(&bytes[at..bytes.len() - 16]).unwrap();
        footer.snapshot_type = Some(1);
        let mut changed = [&bytes[..at], &footer.encode_to_vec()].concat();
        let len = changed.len() as u64 + 16;
        changed.extend_from_slice(&(at as u64).to_be_bytes());
        changed.extend_from_slice(&len.to_be_bytes());
        let error = TabletMeta::from_snapshot_meta(&changed).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{case}: {error}");
        seen += 1;
    }
    assert!(seen > 2);
}
